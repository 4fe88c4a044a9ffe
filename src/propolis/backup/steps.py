"""The steps of a cold backup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from propolis import clone
from propolis.backup.context import BackupContext
from propolis.backup.reread import is_due
from propolis.checks import RULES, THEHIVE, Look, require, told
from propolis.command.context import CHECK_SECONDS, utc_now
from propolis.command.known import remember
from propolis.command.reserve import ReleaseSpace, ReserveSpace
from propolis.command.services import SERVICE_STEPS
from propolis.command.stores import open_bucket, open_repository
from propolis.config.schema import S3Files
from propolis.errors import PreflightError, PropolisError
from propolis.repository import ObjectMeta, ObjectSource, Writer, idle_disk, reserve
from propolis.run import Step
from propolis.run.step import tag_of
from propolis.stack import index, index_contents
from propolis.stack.model import Tree, trees


class CheckStack(Step[BackupContext], frozen=True, kw_only=True, tag="check-stack"):
    """Checks, with everything still running, that the backup can be taken; gathers the versions."""

    running: tuple[str, ...]
    trials: dict[str, str] = msgspec.field(default_factory=dict)
    """Where, by tree, it is tried how a folder can be cloned."""

    @property
    def title(self) -> str:
        """What it does."""
        return "check that services answer, versions, folders and free space"

    def do(self, context: BackupContext) -> Mapping[str, Any]:
        """Raise PreflightError naming all that speaks against it; what only warns goes into the manifest."""
        context.started = utc_now()
        config = context.config
        look = Look(
            config,
            "backup",
            running=self.running,
            wait=partial(context.wait_for, seconds=CHECK_SECONDS),
            survey=partial(self._survey, context),
            force_unhealthy=context.force_unhealthy,
        )
        for check in require(RULES, look):
            context.warn(told(check))
            context.takes_unhealthy |= check.name == THEHIVE and context.force_unhealthy
        if "database" in self.running and config.cassandra is not None:
            found = look.database.get()
            context.services["database"] = f"cassandra {found.release_version}"
            context.facts["cluster_name"] = found.cluster_name
            context.facts["keyspaces"] = list(found.keyspaces)
            if found.superuser:
                context.facts["database_superuser"] = found.superuser
        if "index" in self.running and config.elasticsearch is not None:
            indexed = look.index.get()
            context.services["index"] = f"{indexed.distribution} {indexed.version}"
        if "thehive" in self.running:
            thehive = look.thehive.known()
            context.services["thehive"] = "" if thehive is None else thehive.version
        if config.cassandra is not None:
            context.facts.setdefault("cluster_name", config.cassandra.cluster_name)
        context.methods = methods = {name: survey.get().method for name, survey in look.surveys.items()}
        context.facts["clone"] = methods
        for tree in trees(config):
            if tree.path is not None:
                clone.settle(tree.path)
        return {"services": context.services, "clone": methods}

    def undo(self, context: BackupContext) -> None:
        """Drop what was tried."""
        drop_all(self.trials)

    def _survey(self, context: BackupContext, tree: Tree) -> clone.Survey:
        assert tree.path is not None
        trial, own = Path(self.trials[tree.name]), context.own_names(tree.path)
        return clone.survey(tree.path, tree.immutable, leave_out=own, kept_empty=tree.kept_empty, trial=trial)


class OpenRepository(Step[BackupContext], frozen=True, kw_only=True, tag="open-repository"):
    """Opens the repository for writing and finds the parent, whose unchanged files needn't be read."""

    url: str

    @property
    def title(self) -> str:
        """What it does."""
        return f"open the repository {self.url} and take its lock"

    def do(self, context: BackupContext) -> Mapping[str, Any]:
        """Raise RepositoryError or BusyError if it can't be written."""
        repository = open_repository(context.config)
        remember(context.config, repository)
        context.repository = repository
        writer = repository.writer(context.config.name, observer=context.told, limits=context.limits)
        context.writer = context.resources.enter_context(writer)
        without = reserve.keep(repository.storage)
        for remark in [*(finding.what for finding in repository.damaged_rings), *writer.remarks, without]:
            if remark:
                context.observer.note(remark)
        if context.reread or is_due(context.config.reread, writer.last_reread):
            writer.reread = True
        if writer.reread and writer.parent is not None:
            context.observer.note(f"Every file is read anew (the last time was {writer.last_reread or 'never'})")
        return {"parent": writer.parent, "reread": writer.reread}


class StoreAhead(Step[BackupContext], frozen=True, kw_only=True, tag="store-ahead"):
    """Stores the bucket's objects while TheHive still runs, so that hardly any is left to read later.

    Between the list that counts and the reading of an object TheHive might delete it; so that span is kept short.
    """

    tree: str

    @property
    def title(self) -> str:
        """What it does."""
        return f"store the bucket of {self.tree} ahead, while TheHive serves"

    def do(self, context: BackupContext) -> Mapping[str, Any]:
        """Store it."""
        assert context.writer is not None
        with idle_disk():
            context.writer.store_ahead(self.tree, bucket_of(context, self.tree))
        return {"read": context.writer.stats.read}


class CountDocuments(Step[BackupContext], frozen=True, kw_only=True, tag="count-documents"):
    """Counts every index's documents now that nothing writes: a restore must show the same numbers."""

    @property
    def title(self) -> str:
        """What it does."""
        return "count the documents of every index"

    def do(self, context: BackupContext) -> Mapping[str, Any]:
        """Count them."""
        assert context.config.elasticsearch is not None
        context.facts["documents"] = index.documents(context.config.elasticsearch)
        try:
            found = index_contents.indices(context.config.elasticsearch, refresh=True)
        except PreflightError as error:
            context.warn(f"Only TheHive's own indices could be counted: {error.what}")
        else:
            # All of them, whoever's they are: a restore replaces the whole folder, and has to show each again.
            context.facts["indices"] = [info.as_fact() for info in found]
        return {"documents": context.facts["documents"]}


class CloneTrees(Step[BackupContext], frozen=True, kw_only=True, tag="clone-trees"):
    """Clones every folder of the stopped services; `places` maps a tree to where its clone lies."""

    places: dict[str, str]
    down: tuple[str, ...] = ()
    """Services that must not run meanwhile."""

    @property
    def title(self) -> str:
        """What it does."""
        return f"clone {len(self.places)} folders: {', '.join(self.places)}"

    def do(self, context: BackupContext) -> Mapping[str, Any]:
        """Clone them side by side. Raises PreflightError if a service was started meanwhile."""
        context.require_down(self.down)
        folders = [tree for tree in trees(context.config) if tree.name in self.places]
        context.facts["point_in_time"] = utc_now()
        with ThreadPoolExecutor(max_workers=len(folders)) as pool:
            reports = list(pool.map(lambda tree: self._clone(context, tree), folders))
        context.clones = {tree.name: report for tree, report in zip(folders, reports, strict=True)}
        told = {
            name: {
                "method": report.method,
                "files": report.files,
                "bytes_shared": report.bytes_shared,
                "bytes_copied": report.bytes_copied,
                "seconds": round(report.seconds, 3),
            }
            for name, report in context.clones.items()
        }
        context.facts["clone"] = told
        return told

    def undo(self, context: BackupContext) -> None:
        """Drop what was cloned."""
        drop_all(self.places)

    def _clone(self, context: BackupContext, tree: Tree) -> clone.CloneReport:
        assert tree.path is not None
        return clone.clone(
            tree.path,
            Path(self.places[tree.name]),
            tree.immutable,
            context.methods.get(tree.name),
            context.own_names(tree.path),
            tree.kept_empty,
        )


class ListBucket(Step[BackupContext], frozen=True, kw_only=True, tag="list-bucket"):
    """Lists the bucket's keys while TheHive is down: that list is the restore point's."""

    tree: str

    @property
    def title(self) -> str:
        """What it does."""
        return f"list the bucket of {self.tree}"

    def do(self, context: BackupContext) -> Mapping[str, Any]:
        """Keep the list."""
        listed = FrozenListing(bucket_of(context, self.tree))
        context.buckets[self.tree] = listed
        return {"objects": len(listed)}


class StoreTrees(Step[BackupContext], frozen=True, kw_only=True, tag="store-trees"):
    """Reads the clones, and the listed objects, into the repository while TheHive serves."""

    trees: tuple[str, ...]

    @property
    def title(self) -> str:
        """What it does."""
        return f"store what is new of {', '.join(self.trees)}"

    def do(self, context: BackupContext) -> Mapping[str, Any]:
        """Store them."""
        assert context.writer is not None
        with idle_disk():
            self._store(context, context.writer)
        stats = context.writer.stats
        return {"bytes": stats.bytes, "files": stats.files, "read": stats.read, "stored": stats.stored}

    def _store(self, context: BackupContext, writer: Writer) -> None:
        for tree in trees(context.config):
            if tree.name in context.clones:
                report = context.clones[tree.name]
                assert tree.path is not None
                writer.add_folder(
                    tree.store,
                    tree.name,
                    report.clone,
                    tree.path,
                    inode_of=report.inode_of,
                    linked=report.linked,
                    unkept=report.unkept,
                )
            elif tree.name in context.buckets:
                assert tree.bucket is not None
                writer.add_bucket(tree.store, tree.name, context.buckets[tree.name], bucket_name(tree.bucket))


class WriteManifest(Step[BackupContext], frozen=True, kw_only=True, tag="write-manifest"):
    """Writes the manifest: from here on the backup exists."""

    commits = True

    @property
    def title(self) -> str:
        """What it does."""
        return "write the manifest (from here on the backup exists)"

    def do(self, context: BackupContext) -> Mapping[str, Any]:
        """Commit."""
        assert context.writer is not None
        found = {"downtime_seconds": context.downtime, "warnings": context.warnings}
        context.summary = context.writer.commit(context.restore_point(found))
        assert context.repository is not None
        try:
            remember(context.config, context.repository, context.summary.id)
        except PropolisError as error:
            # The backup is there all the same; only its loss might go unnoticed.
            context.observer.note(f"This host could not note down that it made the backup: {error.what}")
        return {"backup": context.summary.id}


class DropClones(Step[BackupContext], frozen=True, kw_only=True, tag="drop-clones"):
    """Removes the clones."""

    places: dict[str, str]

    @property
    def title(self) -> str:
        """What it does."""
        return "drop the clones"

    def do(self, context: BackupContext) -> None:
        """Drop them, those that are there."""
        drop_all(self.places)


class FrozenListing:
    """An ObjectSource whose list was taken once; objects are still read from the bucket."""

    def __init__(self, source: ObjectSource) -> None:
        self._source = source
        self._objects = list(source.list())

    def __len__(self) -> int:
        return len(self._objects)

    def list(self) -> Iterator[ObjectMeta]:
        """Return the objects as they were listed."""
        return iter(self._objects)

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        """Read one from the bucket; FileNotFoundError if it has gone since."""
        return self._source.open_object(key)


def drop_all(places: Mapping[str, str]) -> None:
    """Remove clones; idempotent."""
    for place in places.values():
        clone.drop(Path(place))


def bucket_of(context: BackupContext, tree: str) -> ObjectSource:
    """Open the bucket of a tree."""
    (bucket,) = [found.bucket for found in trees(context.config) if found.name == tree]
    assert bucket is not None
    return open_bucket(bucket)


def bucket_name(bucket: S3Files) -> str:
    """Where a bucket's tree comes from, as a URL."""
    return f"s3://{bucket.bucket}/{bucket.prefix}".rstrip("/")


_STEPS: tuple[type[Step[BackupContext]], ...] = (
    CheckStack,
    OpenRepository,
    CloneTrees,
    CountDocuments,
    ListBucket,
    StoreAhead,
    StoreTrees,
    WriteManifest,
    DropClones,
    ReserveSpace,
    ReleaseSpace,
    *SERVICE_STEPS,
)

BACKUP_STEPS = {tag_of(step): step for step in _STEPS}
"""Every step that the journal of such a run may name."""
