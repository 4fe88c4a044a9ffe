"""The restore of a cold backup: stage everything beside its target, then stop, swap, start and check."""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propolis import clone
from propolis.checks.targets import trial_places
from propolis.command.host_key import why_closed
from propolis.command.reserve import ReleaseSpace, ReserveSpace, reserve_files
from propolis.command.runner import RecoverFirst, run
from propolis.command.services import KeepServices, start_steps, stop_steps
from propolis.command.stores import open_repository
from propolis.config.hocon import Hocon
from propolis.config.schema import Config
from propolis.errors import ConfigError, PreflightError, PropolisError
from propolis.filesystem.unkept import Unkept
from propolis.repository import BackupId
from propolis.restore import backed_up
from propolis.restore.context import RestoreContext, RestoreRequest
from propolis.restore.logins import LoginAfter, logins_after, settable
from propolis.restore.steps import (
    AcceptRestore,
    CheckDrained,
    CheckOthers,
    CheckRestore,
    CheckStores,
    DropAside,
    FillBucket,
    GivePassword,
    LayBeside,
    LiftWriteBlocks,
    ReplaceFolders,
    StageFolder,
)
from propolis.restore.swap import Swap, plan_swap
from propolis.run import Observer, Plan, Step
from propolis.stack.model import Tree
from propolis.stack.stack import START_WAVES, STOP_ORDER, STORES, trees_of, with_dependents


@dataclass(frozen=True)
class RestoreReport:
    """What a restore did. `downtime` in seconds, None when TheHive wasn't running before.

    `unkept` is what the backup holds and the targets did not get, `never_kept` what was not in the backup.
    `closed` says why the target can't back up to its repository yet, for want of its key there; empty if it can.
    """

    backup: BackupId
    stores: tuple[str, ...]
    files: int
    bytes: int
    downtime: float | None
    laid_beside: tuple[str, ...]
    closed: str
    warnings: tuple[str, ...] = ()
    """What somebody should know of the target and of this restore."""
    passwords_set: tuple[str, ...] = ()
    """Roles and users that came with the data and got this host's passwords, such as `database: thehive`."""
    unkept: tuple[Unkept, ...] = ()
    never_kept: tuple[Unkept, ...] = ()


def restore_plan(context: RestoreContext) -> Plan[RestoreContext]:
    """Plan the restore that `context.request` asks for. Reads the repository; touches nothing."""
    request = context.request
    assert request is not None
    context.repository = open_repository(request.source, request.identity, request.at)
    remarks: list[str] = []
    context.manifest = context.repository.manifest(
        context.repository.resolve(request.backup, request.source.name, remarks, sure=True)
    )
    for remark in [*(finding.what for finding in context.repository.damaged_rings), *remarks]:
        context.observer.note(remark)
    targets = _targets(context, request)
    running = context.services.running()
    in_place = [tree for tree in targets if tree.store != "config" or _came_from_here(context, tree)]
    if "config" in request.stores:
        in_place = targets
    beside = [tree for tree in targets if tree not in in_place]
    folders = [tree for tree in in_place if tree.path is not None]
    buckets = tuple(tree.name for tree in in_place if tree.bucket is not None)
    swaps = _swaps(context, folders)
    touched = {name for name in _touched(context.config, in_place) if context.services.has(name)}
    reserve = reserve_files(context)
    _compare_logins(context, request, in_place)
    steps: list[Step[RestoreContext, Any]] = [
        CheckRestore(
            backup=context.manifest.id,
            trees=tuple(tree.name for tree in in_place),
            running=running,
            trials={swap.target: _trial_places(context, swap) for swap in swaps},
        ),
        *(StageFolder(tree=tree.name, target=str(tree.path), staged=_staged(context, tree)) for tree in folders),
        *(LayBeside(tree=tree.name, folder=str(beside_folder(context, tree))) for tree in beside),
        *(FillBucket(tree=name) for name in buckets),
        CheckOthers(trees=tuple(tree.name for tree in in_place), running=running),
        KeepServices(
            services=running, down=tuple(name for name in STOP_ORDER if name in touched.difference(running))
        ),
        ReserveSpace(files=reserve),
        *stop_steps(tuple(name for name in running if name in touched)),
        *((CheckDrained(),) if "database" in touched and "database" in running else ()),
        ReplaceFolders(swaps=swaps, down=tuple(name for name in STOP_ORDER if name in touched)),
    ]
    for wave in START_WAVES:
        if "thehive" in wave:
            stores = tuple(sorted({tree.store for tree in in_place} & {"database", "index"}))
            steps += [GivePassword(service=login.service, name=login.name) for login in _given(context)]
            steps += [CheckStores(stores=stores)] if stores else []
            steps += [LiftWriteBlocks()] if "index" in stores and context.services.has("index") else []
        steps += start_steps(tuple(name for name in wave if name in touched), stop_on_undo=True)
    steps.append(AcceptRestore(services=running))
    steps.append(ReleaseSpace(files=reserve))
    steps.append(DropAside(swaps=swaps, buckets=buckets))
    return Plan("restore", tuple(steps))


def restore(request: RestoreRequest, observer: Observer, recover_first: RecoverFirst) -> RestoreReport:
    """Restore. Raises a PropolisError; then the former data and services are back, or it says so."""
    make_context = functools.partial(RestoreContext, request)
    context, _ = run(request.target, make_context, restore_plan, observer, recover_first)
    assert context.manifest is not None
    targets = _targets(context, request)
    return RestoreReport(
        backup=context.manifest.id,
        stores=tuple(store for store in STORES if any(tree.store == store for tree in targets)),
        files=context.restored_files,
        bytes=context.restored_bytes,
        unkept=tuple(context.unkept.all()),
        never_kept=tuple(context.header.unkept),
        downtime=context.services.downtime,
        laid_beside=tuple(
            str(beside_folder(context, tree)) for tree in targets if beside_folder(context, tree).is_dir()
        ),
        warnings=tuple(context.warnings),
        passwords_set=tuple(f"{login.service}: {login.name}" for login in _given(context)),
        closed=why_closed(request.target),
    )


def beside_folder(context: RestoreContext, tree: Tree) -> Path:
    """Where another host's configuration is laid for comparison."""
    assert context.manifest is not None
    return context.config.state / "restored-config" / context.manifest.id / Path(tree.name).name


def _targets(context: RestoreContext, request: RestoreRequest) -> list[Tree]:
    """The target's trees that the backup can fill."""
    targets = trees_of(context.config, request.stores or STORES)
    backed_up = {tree.name for tree in context.header.trees}
    missing = [tree.name for tree in targets if tree.name not in backed_up]
    unplaced = [
        tree.name
        for tree in context.header.trees
        if tree.store in (request.stores or STORES) and tree.name not in {target.name for target in targets}
    ]
    if missing or unplaced:
        raise PreflightError(
            "The target stack is laid out unlike the backup"
            + (f"; the backup lacks {', '.join(missing)}" if missing else "")
            + (f"; the target has no place for {', '.join(unplaced)}" if unplaced else ""),
            left="Nothing was touched",
            next="Restore some stores with --only, or configure the target as the backup's stack was",
        )
    return list(targets)


def _compare_logins(context: RestoreContext, request: RestoreRequest, in_place: list[Tree]) -> None:
    """Find out which logins hold after the restore."""
    repository, manifest = context.repository, context.manifest
    assert repository is not None
    assert manifest is not None

    @functools.cache
    def settings() -> Hocon:
        try:
            return backed_up.settings(repository, manifest)
        except ConfigError:
            raise
        except PropolisError as error:  # a missing key, or damage: the restore's own checks say so, and refuse
            raise ConfigError(error.what) from None

    settings_come = any(tree.name == backed_up.TREE for tree in in_place)
    context.settings = settings if settings_come else None
    context.logins = logins_after(
        context.config,
        frozenset(tree.store for tree in in_place),
        settings,
        superuser=str(context.header.facts.get("database_superuser", "")),
        settings_come=settings_come,
        users_file=lambda: backed_up.index_users_file(repository, manifest),
    )
    context.set_password = request.set_password


def _given(context: RestoreContext) -> list[LoginAfter]:
    return settable(context.logins) if context.set_password else []


def _came_from_here(context: RestoreContext, tree: Tree) -> bool:
    header = context.header.tree(tree.name)
    return header is not None and context.header.host == socket.gethostname() and header.original == str(tree.path)


def _staged(context: RestoreContext, tree: Tree) -> str:
    assert tree.path is not None
    return str(clone.place(tree.path, context.run_id))


def _trial_places(context: RestoreContext, swap: Swap) -> tuple[str, str]:
    beside, inside = trial_places(Path(swap.target), f"{context.run_id}.trial")
    return str(beside), str(inside)


def _swaps(context: RestoreContext, folders: list[Tree]) -> tuple[Swap, ...]:
    swaps = []
    for tree in folders:
        assert tree.path is not None
        swaps.append(plan_swap(tree.path, context.run_id, staged=Path(_staged(context, tree))))
    cassandra = context.config.cassandra
    if (
        cassandra is not None
        and os.path.lexists(cassandra.saved_caches)
        and any(tree.store == "database" for tree in folders)
    ):
        # Caches of keys and rows by file: of the data that goes, so they must not meet the data that comes. A folder
        # that isn't there stays so: Cassandra makes it as its own user, and could not use one of ours.
        swaps.append(plan_swap(cassandra.saved_caches, context.run_id, staged=None))
    return tuple(swaps)


def _touched(config: Config, in_place: list[Tree]) -> set[str]:
    """Services that must be down while these trees are replaced: each tree's own, those that need it, and TheHive."""
    return with_dependents(config, {"thehive", *(tree.service for tree in in_place)})
