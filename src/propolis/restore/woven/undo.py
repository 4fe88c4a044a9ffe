"""Undoing a restore of several hosts: each puts back what it kept, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from propolis.command.kept import find
from propolis.command.runner import RecoverFirst
from propolis.command.stores import open_repository
from propolis.config.schema import Config
from propolis.hosts.asking import Reach
from propolis.hosts.connect import ask_for_parts, connect
from propolis.hosts.coordination import Coordination, coordinate
from propolis.hosts.on_hosts import OnHosts
from propolis.hosts.plan import woven_plan
from propolis.hosts.words import clean
from propolis.link.messages import Part
from propolis.restore.former import UndoReport
from propolis.restore.former.undo import COMMAND as UNDO
from propolis.restore.hosts.verdict import DOWNTIME, verdict_on
from propolis.restore.review import Review
from propolis.restore.woven.host import HostOptions, review_of
from propolis.restore.woven.plan import COMMAND, AskForParts, kept_by, texts_of
from propolis.restore.woven.steps import Shared, explained, verdict_steps
from propolis.run import Observer, Plan
from propolis.stack.stack import STORES


@dataclass(frozen=True, kw_only=True)
class WovenUndoRequest:
    """Which restore is undone on all hosts; `file` is the configuration of the coordinator. See `UndoRequest`."""

    config: Config
    file: Path
    run: str
    days: int | None = None


@dataclass(frozen=True)
class LookedUndo:
    """What an undo would do: its plan, what each host would lose, and for how many days that would be kept."""

    run: str
    plan: Plan[Coordination]
    reviews: Mapping[str, Review]
    days: int


def look_undo(request: WovenUndoRequest) -> LookedUndo:
    """Have every host say what it would do, and what it would lose. Nothing begins, and nothing is locked."""
    reach = Reach(request.config, request.file)
    run, plan, parts = _planned(request, reach.names, partial(ask_for_parts, reach, COMMAND), review=True)
    days = find(request.config.state, run).days if request.days is None else request.days
    return LookedUndo(run, plan, {host: review_of(host, part.facts) for host, part in parts.items()}, days)


def undo_hosts(request: WovenUndoRequest, observer: Observer, recover_first: RecoverFirst) -> UndoReport:
    """Undo a restore on all hosts. Raises as `restore_hosts` does."""
    found: list[tuple[str, Mapping[str, Part]]] = []

    contexts: list[Coordination] = []

    def plan(context: Coordination) -> Plan[Coordination]:
        contexts.append(context)
        run, plan, parts = _planned(request, context.names, partial(connect, context, COMMAND, parent=None))
        found.append((run, parts))
        return plan

    with explained(lambda: contexts[0] if contexts else None):
        context, outcome = coordinate(request.config, request.file, plan, observer, recover_first, verdict=verdict_on)
    ((undone, parts),) = found
    results = [result for given in outcome.results.all(OnHosts) for result in given.values()]
    checked = [one for one in results if one.get("run") == undone]
    stores = {store for part in parts.values() for store in texts_of(part.facts.get("stores"))}
    return UndoReport(
        run=context.run_id,
        undone=undone,
        stores=tuple(store for store in STORES if store in stores),
        files=_sum(checked, "files"),
        bytes=_sum(checked, "bytes"),
        downtime=next((float(one[DOWNTIME]) for one in results if isinstance(one.get(DOWNTIME), int | float)), None),
        kept=kept_by(outcome.results.all(OnHosts)),
        warnings=tuple(map(clean, context.warnings)),
    )


def _planned(
    request: WovenUndoRequest, names: Sequence[str], ask: AskForParts, *, review: bool = False
) -> tuple[str, Plan[Coordination], Mapping[str, Part]]:
    config = request.config
    # Each host has a record of it, the coordinator, too: that one says which restore is meant.
    run = find(config.state, request.run).run
    options = HostOptions(undo=run, keep_days=request.days, review=review)
    parts = ask(msgspec.to_builtins(options))
    shared = Shared(open_repository(config, config.restore.identity))
    return run, woven_plan(UNDO, parts, verdict_steps(names), (shared,)), parts


def _sum(results: list[Mapping[str, Any]], name: str) -> int:
    return sum(value for one in results if isinstance(value := one.get(name), int))
