"""Undoing a restore that is finished: the former data, which was kept, is swapped back as one plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from propolis.checks.targets import trial_places
from propolis.command.context import Context
from propolis.command.kept import Kept, find
from propolis.command.reserve import ReleaseSpace, ReserveSpace, reserve_files
from propolis.command.runner import RecoverFirst, run
from propolis.command.services import KeepServices, start_steps, stop_steps
from propolis.config.schema import Config
from propolis.restore.former.keeping import DropAside, ForgetKept, KeepOld, KeptReport
from propolis.restore.former.steps import AcceptFormer, CheckUndo, PutBackFolders, PutBackObjects, require_undoable
from propolis.restore.hosts.verdict import Prepare
from propolis.restore.swap import Swap, plan_return
from propolis.run import Observer, Plan, Step
from propolis.stack.cluster import clusters, require_alone
from propolis.stack.stack import STOP_ORDER, STORES, services, trees, with_dependents

COMMAND = "restore --undo"


@dataclass(frozen=True)
class UndoRequest:
    """Which run is undone: its ID, the beginning of one, or `latest`.

    What the undo replaces is kept in its turn for `days`; None: for as many as the run itself kept. 0: it is dropped.
    """

    target: Config
    run: str
    days: int | None = None
    is_woven: bool = False
    """Whether this is one host's part of the undo of a restore of several."""


@dataclass(frozen=True, kw_only=True)
class UndoReport:
    """What an undo did. `downtime` in seconds, None when TheHive wasn't running before."""

    run: str
    undone: str
    stores: tuple[str, ...]
    files: int
    bytes: int
    downtime: float | None
    kept: KeptReport | None
    """What is kept of what the undo replaced; None: it was dropped."""
    warnings: tuple[str, ...]


def undo_plan(request: UndoRequest, context: Context) -> Plan[Context]:
    """Plan to put back what a run replaced. Touches nothing. Raises PreflightError or UsageError."""
    config = context.config
    kept = find(config.state, request.run)
    require_undoable(config, kept)
    running = context.services.running()
    swaps = tuple(plan_return(one, context.run_id, context.own_in(Path(one.target))) for one in kept.folders)
    trials = {swap.target: _trial_places(context, swap) for swap in swaps}
    touched = {name for name in _touched(config, kept, everything=request.is_woven) if context.services.has(name)}
    reserve = reserve_files(context)
    days = kept.days if request.days is None else request.days
    buckets = tuple(one.tree for one in kept.objects)
    steps: list[Step[Context, Any]] = [
        CheckUndo(run=kept.run, running=running, trials=trials),
        KeepServices(
            services=running, down=tuple(name for name in STOP_ORDER if name in touched.difference(running))
        ),
        ReserveSpace(files=reserve),
        *stop_steps(tuple(name for name in running if name in touched)),
        PutBackFolders(swaps=swaps, down=tuple(name for name in STOP_ORDER if name in touched)),
        *(PutBackObjects(kept=one) for one in kept.objects),
        *start_steps(tuple(touched), clusters(context.config), stop_on_undo=True),
        *((Prepare(services=running),) if request.is_woven else ()),
        AcceptFormer(services=running, by_verdict=request.is_woven),
        ReleaseSpace(files=reserve),
        KeepOld(swaps=swaps, buckets=buckets, days=days, command=COMMAND, backup=kept.run, without=kept.without)
        if days
        else DropAside(swaps=swaps, buckets=buckets),
        ForgetKept(run=kept.run),
    ]
    return Plan(COMMAND, tuple(steps))


def settled(request: UndoRequest) -> tuple[UndoRequest, Kept]:
    """The request for that very run, on the stack as that run knew it, and what it keeps.

    The newest run may be another one by the time that somebody has agreed, or that the lock is held. Raises
    PreflightError or UsageError.
    """
    kept = find(request.target.state, request.run)
    return replace(request, target=kept.stack(request.target), run=kept.run), kept


def undo(request: UndoRequest, observer: Observer, recover_first: RecoverFirst) -> UndoReport:
    """Undo a restore. Raises a PropolisError; then the restored data and services are back, or it says so."""
    request, kept = settled(request)
    plan = partial(undo_plan, request)
    require_alone(request.target, "propolis restore --undo")
    context, outcome = run(request.target, plan, observer, recover_first, spare=kept.run)
    return UndoReport(
        run=context.run_id,
        undone=kept.run,
        stores=stores_of(request.target, kept),
        files=kept.files,
        bytes=kept.bytes,
        downtime=context.services.downtime,
        kept=outcome.results.get(KeepOld),
        warnings=tuple(context.warnings),
    )


def stores_of(config: Config, kept: Kept) -> tuple[str, ...]:
    """The stores of which something is kept."""
    found = {tree.store for tree in trees(config) if tree.target in kept.targets}
    return tuple(store for store in STORES if store in found)


def _touched(config: Config, kept: Kept, *, everything: bool) -> set[str]:
    """Services that must be down meanwhile: each tree's own, Cassandra for its caches, TheHive with any of them.

    `everything`: all of this host's, since other hosts replace what they may need.
    """
    if everything:
        return set(services(config))
    found = {tree.service for tree in trees(config) if tree.target in kept.targets}
    if config.cassandra is not None and str(config.cassandra.saved_caches) in kept.targets:
        found.add("database")
    return with_dependents(config, found | {"thehive"})


def _trial_places(context: Context, swap: Swap) -> tuple[str, str]:
    beside, inside = trial_places(Path(swap.target), f"{context.run_id}.trial")
    return str(beside), str(inside)
