"""The steps of a cold backup."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from propolis import clone
from propolis.backup.objects import FrozenListing, bucket_name
from propolis.backup.options import BackupOptions
from propolis.backup.reread import is_due
from propolis.backup.results import Checked, Cloned, Listed, Opened
from propolis.checks import THEHIVE, Look, require, rules_of, told
from propolis.clock import utc_now, utc_text
from propolis.clone.base import CloneReport, Method
from propolis.command.context import Context
from propolis.command.kept import own_objects
from propolis.command.known import remember
from propolis.command.stores import open_repository
from propolis.repository import Stats, Writer, begin, idle_disk
from propolis.repository.storage import reserve
from propolis.run import Results, Step
from propolis.stack.model import BucketTree, FolderTree
from propolis.stack.stack import folders, trees

CHECK_SECONDS = 30.0
"""How long a service that runs may take to answer before anything is stopped: it should be up already."""


class CheckStack(Step[Context, Checked], frozen=True, kw_only=True, tag="check-stack"):
    """Checks, with everything still running, that the backup can be taken; gathers the versions."""

    turn = "check"

    tries_only = True

    running: tuple[str, ...]
    trials: dict[str, str] = msgspec.field(default_factory=dict)
    """Where, by tree, it is tried how a folder can be cloned."""

    needs = (BackupOptions,)

    def _title(self) -> str:
        return "check services, versions, folders and free space"

    def do(self, context: Context, results: Results) -> Checked:
        """Raise PreflightError naming all that speaks against it; what only warns goes into the manifest."""
        started = utc_text(utc_now())
        config = context.config
        force_unhealthy = results.given(BackupOptions).force_unhealthy
        look = Look(
            config,
            "backup",
            running=self.running,
            wait=partial(context.services.wait_for, seconds=CHECK_SECONDS),
            survey=partial(self._survey, context),
            force_unhealthy=force_unhealthy,
        )
        for check in require(rules_of(look), look):
            context.warn(told(check))
            context.services.takes_unhealthy |= check.name == THEHIVE and force_unhealthy
        services: dict[str, str] = {}
        facts: dict[str, Any] = {}
        if config.cassandra is not None:
            facts["cluster_name"] = config.cassandra.cluster_name
        for role in self.running:
            found = look.facts(role)
            services[role] = "" if found is None else found.release
            facts |= {} if found is None else found.kept
        methods = {name: survey.get().method for name, survey in look.surveys.items()}
        for tree in folders(config):
            clone.settle(tree.path)
        return Checked(started, services, facts, methods)

    def summary(self, result: Checked) -> Mapping[str, Any]:
        """What runs, and how folders will be cloned."""
        return {"services": result.services, "clone": result.methods}

    def undo(self, context: Context) -> None:
        """Drop what was tried."""
        drop_all(self.trials)

    def _survey(self, context: Context, tree: FolderTree) -> clone.Survey:
        trial, own = Path(self.trials[tree.name]), context.own_names(tree.path)
        return clone.survey(tree.path, tree.immutable, leave_out=own, kept_empty=tree.kept_empty, trial=trial)


class OpenRepository(Step[Context, Opened], frozen=True, kw_only=True, tag="open-repository"):
    """Opens the repository for writing and finds the parent, whose unchanged files needn't be read."""

    turn = "open"

    url: str

    needs = (BackupOptions,)

    def _title(self) -> str:
        return f"open the repository {self.url} and take a lease on it"

    def do(self, context: Context, results: Results) -> Opened:
        """Raise RepositoryError or BusyError if it can't be written."""
        options = results.given(BackupOptions)
        repository = open_repository(context.config)
        remember(context.config, repository)
        writer = context.resources.enter_context(
            begin(
                repository,
                context.config.name,
                options.parent,
                observer=lambda stats: context.observer.progress(stats.bytes, None, "bytes"),
                limits=options.limits,
            )
        )
        without = reserve.keep(repository.storage)
        for remark in [*(finding.what for finding in repository.damaged_rings), *writer.remarks, without]:
            if remark:
                context.observer.note(remark)
        if options.reread or is_due(context.config.reread, writer.last_reread):
            writer.reread = True
        if writer.reread and writer.parent is not None:
            context.observer.note(
                "Every file is read, even if its size and times did not change (last time: "
                f"{writer.last_reread or 'never'})"
            )
        return Opened(repository, writer)

    def summary(self, result: Opened) -> Mapping[str, Any]:
        """What unchanged files are told by, and whether they are believed."""
        return {"parent": result.writer.parent, "reread": result.writer.reread}


class StoreAhead(Step[Context, int], frozen=True, kw_only=True, tag="store-ahead"):
    """Stores the bucket's objects while TheHive still runs, so that hardly any is left to read later.

    Between the list that counts and the reading of an object TheHive might delete it; so that span is kept short.
    """

    turn = "ahead"

    tree: str

    needs = (OpenRepository,)

    def _title(self) -> str:
        return f"store the bucket of {self.tree} in advance, while TheHive is running"

    def do(self, context: Context, results: Results) -> int:
        """Store it; give how many bytes were read."""
        writer = results[OpenRepository].writer
        with idle_disk():
            writer.store_ahead(self.tree, own_objects(context.config, self.tree))
        return writer.stats.read

    def summary(self, result: int) -> Mapping[str, Any]:
        """How many bytes were read."""
        return {"read": result}


class CloneTrees(Step[Context, Cloned], frozen=True, kw_only=True, tag="clone-trees"):
    """Clones every folder of the stopped services; `places` maps a tree to where its clone lies."""

    turn = "clone"

    places: dict[str, str]
    down: tuple[str, ...] = ()
    """Services that must not run meanwhile."""

    needs = (CheckStack,)

    def _title(self) -> str:
        return f"clone {len(self.places)} folders: {', '.join(self.places)}".removesuffix(": ")

    def do(self, context: Context, results: Results) -> Cloned:
        """Clone them side by side. Raises PreflightError if a service was started in the meantime."""
        context.services.require_down(self.down)
        cloned = [tree for tree in folders(context.config) if tree.name in self.places]
        point_in_time = utc_text(utc_now())
        make = partial(self._clone, context, results[CheckStack].methods)
        with ThreadPoolExecutor(max_workers=max(1, len(cloned))) as pool:  # a coordinator may have none
            reports = list(pool.map(make, cloned))
        return Cloned(point_in_time, {tree.name: report for tree, report in zip(cloned, reports, strict=True)})

    def summary(self, result: Cloned) -> Mapping[str, Any]:
        """How each was cloned."""
        return result.as_facts()

    def undo(self, context: Context) -> None:
        """Drop what was cloned."""
        drop_all(self.places)

    def _clone(self, context: Context, methods: Mapping[str, Method], tree: FolderTree) -> CloneReport:
        return clone.clone(
            tree.path,
            Path(self.places[tree.name]),
            tree.immutable,
            methods.get(tree.name),
            context.own_names(tree.path),
            tree.kept_empty,
        )


class ListBucket(Step[Context, Listed], frozen=True, kw_only=True, tag="list-bucket"):
    """Lists the bucket's keys while TheHive is down: that list is the restore point's."""

    turn = "list"

    tree: str

    def _title(self) -> str:
        return f"list the bucket of {self.tree}"

    def do(self, context: Context, results: Results) -> Listed:
        """Keep the list."""
        return Listed(self.tree, FrozenListing(own_objects(context.config, self.tree)))

    def summary(self, result: Listed) -> Mapping[str, Any]:
        """How many objects there are."""
        return {"objects": len(result.objects)}


class StoreTrees(Step[Context, Stats], frozen=True, kw_only=True, tag="store-trees"):
    """Reads the clones, and the listed objects, into the repository while TheHive serves."""

    turn = "store"

    trees: tuple[str, ...]

    needs = (OpenRepository, CloneTrees)
    uses = (ListBucket,)

    def _title(self) -> str:
        return f"store new data: {', '.join(self.trees)}".removesuffix(": ")

    def do(self, context: Context, results: Results) -> Stats:
        """Store them; give what it took."""
        writer, clones = results[OpenRepository].writer, results[CloneTrees].reports
        listed = {one.tree: one.objects for one in results.all(ListBucket)}
        with idle_disk():
            for tree in trees(context.config):
                if isinstance(tree, FolderTree) and tree.name in clones:
                    _store_clone(writer, tree, clones[tree.name])
                elif isinstance(tree, BucketTree) and tree.name in listed:
                    writer.add_bucket(tree.store, tree.name, listed[tree.name], bucket_name(tree.bucket))
        return writer.stats

    def summary(self, result: Stats) -> Mapping[str, Any]:
        """How much was read and stored."""
        return {"bytes": result.bytes, "files": result.files, "read": result.read, "stored": result.stored}


class DropClones(Step[Context, None], frozen=True, kw_only=True, tag="drop-clones"):
    """Removes the clones."""

    turn = "drop"

    places: dict[str, str]

    def _title(self) -> str:
        return "delete the clones"

    def do(self, context: Context, results: Results) -> None:
        """Drop them, those that are there."""
        drop_all(self.places)


def drop_all(places: Mapping[str, str]) -> None:
    """Remove clones; idempotent."""
    for place in places.values():
        clone.drop(Path(place))


def _store_clone(writer: Writer, tree: FolderTree, report: CloneReport) -> None:
    writer.add_folder(
        tree.store,
        tree.name,
        report.clone,
        tree.path,
        inode_of=report.inode_of,
        linked=report.linked,
        unkept=report.unkept,
    )
