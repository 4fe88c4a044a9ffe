"""A restore of a stack on several hosts: each restores its part, then one verdict keeps or undoes all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from propolis.command.runner import RecoverFirst
from propolis.command.stores import open_repository
from propolis.config.schema import Config
from propolis.errors import IntegrityError
from propolis.filesystem.unkept import Tally
from propolis.hosts.asking import Reach
from propolis.hosts.connect import ask_for_parts, connect
from propolis.hosts.coordination import Coordination, coordinate
from propolis.hosts.on_hosts import Given, OnHosts
from propolis.hosts.plan import woven_plan
from propolis.hosts.words import clean
from propolis.link.messages import Part
from propolis.repository import BackupId, Manifest
from propolis.restore.cold import RestoreReport
from propolis.restore.former import KeptReport
from propolis.restore.hosts.names import matched
from propolis.restore.hosts.verdict import verdict_on
from propolis.restore.review import Review
from propolis.restore.steps import HostRestored
from propolis.restore.woven.host import HostOptions, review_of
from propolis.restore.woven.steps import Shared, explained, verdict_steps
from propolis.run import Observer, Plan
from propolis.stack.stack import STORES

COMMAND = "restore"
"""What the hosts are asked for."""

AskForParts = Callable[[Mapping[str, Any]], Mapping[str, Part]]
"""Asks all hosts for their parts, with these options."""


@dataclass(frozen=True, kw_only=True)
class WovenRequest:
    """What is to be restored onto all hosts of a stack. `file` is the configuration of the coordinator."""

    config: Config
    file: Path
    backup: str
    renames: Mapping[str, str] = field(default_factory=dict)
    """This stack's host → the backup's whose data it gets, where they are called otherwise."""
    stores: tuple[str, ...] = ()
    set_password: bool = False
    keep_days: int = 0
    replace_indices: tuple[str, ...] = ()
    replace_keyspaces: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WovenRestoreReport(RestoreReport):
    """What a restore of several hosts did: all of them together, and each."""

    hosts: tuple[tuple[str, HostRestored], ...]


@dataclass(frozen=True)
class Looked:
    """What a restore would do: its plan, and what each host would lose."""

    backup: BackupId
    plan: Plan[Coordination]
    reviews: Mapping[str, Review]
    """By host."""
    matches: Mapping[str, str]
    """This stack's host → what it was called in the backup."""
    remarks: tuple[str, ...]
    """What should be said of the logins, with the host's name."""


def look(request: WovenRequest, observer: Observer) -> Looked:
    """Have every host say what it would do, and what it would lose. Nothing begins, and nothing is locked."""
    reach = Reach(request.config, request.file)
    manifest, plan, parts = _planned(
        request, reach.names, observer, partial(ask_for_parts, reach, COMMAND), review=True
    )
    matches = matched(manifest.header, reach.names, request.renames, request.stores)
    reviews = {host: review_of(host, part.facts) for host, part in parts.items()}
    remarks = tuple(
        f"{host}: {clean(text)}" for host, part in parts.items() for text in texts_of(part.facts.get("logins"))
    )
    return Looked(manifest.id, plan, reviews, matches, remarks)


def restore_hosts(request: WovenRequest, observer: Observer, recover_first: RecoverFirst) -> WovenRestoreReport:
    """Restore onto all hosts.

    Raises a PropolisError; then the former data and services are back on every host, or it says on which that isn't
    known. InDoubt: every host serves the restored data, keeps the former, and asks on.
    """

    found: list[Manifest] = []

    contexts: list[Coordination] = []

    def plan(context: Coordination) -> Plan[Coordination]:
        contexts.append(context)
        ask = partial(connect, context, COMMAND, parent=None)
        manifest, plan, _ = _planned(request, context.names, context.observer, ask)
        found.append(manifest)
        return plan

    with explained(lambda: contexts[0] if contexts else None):
        context, outcome = coordinate(request.config, request.file, plan, observer, recover_first, verdict=verdict_on)
    given = outcome.results.all(OnHosts)
    reports = restored_by(given)
    each = reports.values()
    return WovenRestoreReport(
        backup=found[0].id,
        stores=tuple(store for store in STORES if any(store in one.stores for one in each)),
        files=sum(one.files for one in each),
        bytes=sum(one.bytes for one in each),
        downtime=next((one.downtime for one in each if one.downtime is not None), None),
        laid_beside=tuple(f"{host}:{clean(folder)}" for host, one in reports.items() for folder in one.laid_beside),
        closed="; ".join(f"{host}: {clean(one.closed)}" for host, one in reports.items() if one.closed),
        warnings=tuple(f"{host}: {clean(text)}" for host, one in reports.items() for text in one.warnings),
        run=context.run_id,
        kept=kept_by(given),
        passwords_set=tuple(f"{host}: {clean(text)}" for host, one in reports.items() for text in one.passwords_set),
        unkept=tuple(Tally(kind for one in each for kind in one.unkept).all()),
        never_kept=tuple(Tally(kind for one in each for kind in one.never_kept).all()),
        hosts=tuple(reports.items()),
    )


def restored_by(given: Sequence[Given]) -> dict[str, HostRestored]:
    """What each host says of its part. Raises IntegrityError for what isn't understood."""
    found: dict[str, HostRestored] = {}
    for results in given:
        for host, result in results.items():
            if "never_kept" in result:
                try:
                    found[host] = msgspec.convert(result, HostRestored)
                except msgspec.ValidationError as error:
                    raise IntegrityError(
                        f"What {host} says of its part is not understood: {clean(str(error))}",
                        left="The restore itself is complete",
                    ) from None
    return found


def _planned(
    request: WovenRequest, names: Sequence[str], observer: Observer, ask: AskForParts, *, review: bool = False
) -> tuple[Manifest, Plan[Coordination], Mapping[str, Part]]:
    config = request.config
    repository = open_repository(config, config.restore.identity)
    remarks: list[str] = []
    manifest = repository.manifest(repository.resolve(request.backup, config.name, remarks, sure=True))
    for remark in [*(finding.what for finding in repository.damaged_rings), *remarks]:
        observer.note(remark)
    options = HostOptions(
        backup=manifest.id,
        hosts=matched(manifest.header, names, request.renames, request.stores),
        stores=request.stores,
        set_password=request.set_password,
        keep_days=request.keep_days,
        replace_indices=request.replace_indices,
        replace_keyspaces=request.replace_keyspaces,
        review=review,
    )
    parts = ask(msgspec.to_builtins(options))
    shared = Shared(repository)
    return manifest, woven_plan(COMMAND, parts, verdict_steps(names), (shared,)), parts


def kept_by(given: Sequence[Given]) -> KeptReport | None:
    """What all hosts together keep of what was replaced."""
    found = [result for results in given for result in results.values() if set(result) == {"files", "bytes", "until"}]
    try:
        kept = [msgspec.convert(one, KeptReport) for one in found]
    except msgspec.ValidationError:
        return None
    if not kept:
        return None
    return KeptReport(sum(one.files for one in kept), sum(one.bytes for one in kept), min(one.until for one in kept))


def texts_of(found: object) -> list[str]:
    """The texts in a list that a host sent; none if it is none."""
    return [text for text in found if isinstance(text, str)] if isinstance(found, list | tuple) else []
