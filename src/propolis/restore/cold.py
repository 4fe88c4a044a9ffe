"""The restore of a cold backup: stage everything beside its target, then stop, swap, start and check."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propolis import clone
from propolis.checks.targets import trial_places
from propolis.command.context import Context
from propolis.command.host_key import why_closed
from propolis.command.reserve import ReleaseSpace, ReserveSpace, reserve_files
from propolis.command.runner import RecoverFirst, run
from propolis.command.services import KeepServices, start_steps, stop_steps
from propolis.filesystem.unkept import Tally, Unkept
from propolis.repository import BackupId
from propolis.restore.former.keeping import DropAside, KeepOld, KeptReport
from propolis.restore.hosts.peers import ForgetPeers
from propolis.restore.prepare import Restoration, prepare
from propolis.restore.request import RestoreRequest
from propolis.restore.steps import (
    AcceptRestore,
    CheckDrained,
    CheckOthers,
    CheckRestore,
    CheckStores,
    FillBucket,
    GivePassword,
    LayBeside,
    LiftWriteBlocks,
    PrepareRestored,
    ReplaceFolders,
    StageFolder,
)
from propolis.restore.swap import Swap, plan_swap
from propolis.run import Observer, Plan, Step
from propolis.stack.cluster import clusters, require_alone
from propolis.stack.database.files import LOG
from propolis.stack.database.service import Database
from propolis.stack.index.service import Index
from propolis.stack.model import BucketTree, FolderTree, bare
from propolis.stack.stack import START_WAVES, STOP_ORDER, STORES, instances, kind_of, role_of, with_dependents


@dataclass(frozen=True, kw_only=True)
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
    run: str = ""
    kept: KeptReport | None = None
    """What is kept of what was replaced; None: it was dropped."""
    passwords_set: tuple[str, ...] = ()
    """Roles and users that came with the data and got this host's passwords, such as `database: thehive`."""
    unkept: tuple[Unkept, ...] = ()
    never_kept: tuple[Unkept, ...] = ()


def restore_plan(restoration: Restoration, context: Context) -> Plan[Context]:
    """Plan a restore into the stack as it is now. Touches nothing."""
    in_place, beside = restoration.in_place, restoration.beside
    running = context.services.running()
    folders = [tree for tree in in_place if isinstance(tree, FolderTree)]
    buckets = tuple(tree.name for tree in in_place if isinstance(tree, BucketTree))
    swaps = _swaps(context, folders)
    touched = {name for name in _touched(restoration) if context.services.has(name)}
    reserve = reserve_files(context)
    steps: list[Step[Context, Any]] = [
        CheckRestore(
            backup=restoration.manifest.id,
            trees=tuple(tree.name for tree in in_place),
            running=running,
            trials={swap.target: _trial_places(context, swap) for swap in swaps},
        ),
        *(StageFolder(tree=tree.name, target=str(tree.path), staged=_staged(context, tree)) for tree in folders),
        *_forget_peers(context, folders),
        *(LayBeside(tree=tree.name, folder=str(restoration.beside_folder(tree))) for tree in beside),
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
            replaced = {tree.service for tree in in_place if tree.store != "config"}
            checked = tuple(name for name in STOP_ORDER if name in replaced & touched and kind_of(name).proven)
            indices = {one.role for one in instances(context.config) if isinstance(one, Index)}
            steps += [GivePassword(service=login.service, name=login.name) for login in restoration.logins.to_set]
            if stores or checked:
                steps.append(CheckStores(stores=stores, services=checked))
            steps += [LiftWriteBlocks(service=name) for name in checked if name in indices]
        started = tuple(name for name in wave if name in touched)
        steps += start_steps(started, clusters(context.config), stop_on_undo=True)
    woven = restoration.request.is_woven
    steps += [PrepareRestored(services=running)] if woven else []
    steps.append(AcceptRestore(services=running, by_verdict=woven))
    steps.append(ReleaseSpace(files=reserve))
    if days := restoration.request.keep_days:
        backup = restoration.manifest.id
        steps.append(
            KeepOld(
                swaps=swaps,
                buckets=buckets,
                days=days,
                command="restore",
                backup=backup,
                without=restoration.request.without,
            )
        )
    else:
        steps.append(DropAside(swaps=swaps, buckets=buckets))
    return Plan("restore", tuple(steps), given=(restoration, restoration.logins))


def restore(request: RestoreRequest, observer: Observer, recover_first: RecoverFirst) -> RestoreReport:
    """Restore. Raises a PropolisError; then the former data and services are back, or it says so."""

    def plan(context: Context) -> Plan[Context]:
        return restore_plan(prepare(request, context), context)

    require_alone(request.target, "propolis restore")
    context, outcome = run(request.target, plan, observer, recover_first)
    restoration, results = outcome.results.given(Restoration), outcome.results
    restored = [*results.all(StageFolder), *(filled.written for filled in results.all(FillBucket))]
    unkept = Tally(kind for result in [*restored, *results.all(LayBeside)] for kind in result.unkept)
    targets = (*restoration.in_place, *restoration.beside)
    return RestoreReport(
        backup=restoration.manifest.id,
        stores=tuple(store for store in STORES if any(tree.store == store for tree in targets)),
        files=sum(result.files for result in restored),
        bytes=sum(result.bytes for result in restored),
        unkept=tuple(unkept.all()),
        never_kept=tuple(restoration.header.unkept),
        downtime=context.services.downtime,
        laid_beside=tuple(str(restoration.beside_folder(tree)) for tree in restoration.beside),
        warnings=tuple(context.warnings),
        run=context.run_id,
        kept=results.get(KeepOld),
        passwords_set=tuple(f"{login.service}: {login.name}" for login in restoration.logins.to_set),
        closed=why_closed(request.target),
    )


def _staged(context: Context, tree: FolderTree) -> str:
    return str(clone.place(tree.path, context.run_id))


def _forget_peers(context: Context, folders: list[FolderTree]) -> tuple[ForgetPeers, ...]:
    """Where the database of a cluster is replaced, what is fetched must not lead to the nodes that it came from."""
    staged = {bare(tree.name): _staged(context, tree) for tree in folders if tree.service == Database.role}
    data = tuple(place for name, place in staged.items() if name.startswith("database/data-"))
    if Database.role not in clusters(context.config) or not data:
        return ()
    return (ForgetPeers(data=data, commitlog=staged.get(LOG)),)


def _trial_places(context: Context, swap: Swap) -> tuple[str, str]:
    beside, inside = trial_places(Path(swap.target), f"{context.run_id}.trial")
    return str(beside), str(inside)


def _swaps(context: Context, folders: list[FolderTree]) -> tuple[Swap, ...]:
    swaps = []
    for tree in folders:
        staged = Path(_staged(context, tree))
        swaps.append(plan_swap(tree.path, context.run_id, staged=staged, own=context.own_in(tree.path)))
    cassandra = context.config.cassandra
    if (
        cassandra is not None
        and os.path.lexists(cassandra.saved_caches)
        and any(tree.store == "database" for tree in folders)
    ):
        # Caches of keys and rows by file: of the data that goes, so they must not meet the data that comes. A folder
        # that isn't there stays so: Cassandra makes it as its own user, and could not use one of ours.
        own = context.own_in(cassandra.saved_caches)
        swaps.append(plan_swap(cassandra.saved_caches, context.run_id, staged=None, own=own))
    return tuple(swaps)


def _touched(restoration: Restoration) -> set[str]:
    """Services that must be down while these trees are replaced: each tree's own, those that need it, and TheHive.

    So must those that need what is replaced on other hosts meanwhile.
    """
    roles = {"thehive", *(tree.service for tree in restoration.in_place)}
    if restoration.request.is_woven:
        replaced = [tree for tree in restoration.header.trees if tree.store in (restoration.request.stores or STORES)]
        roles |= {role for tree in replaced if tree.store != "config" and (role := role_of(tree.name))}
    return with_dependents(restoration.request.target, roles)
