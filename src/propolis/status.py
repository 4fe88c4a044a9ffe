"""What a stack is doing: its services, the run under way, what was left half done, its last backups."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from propolis.command import leftovers
from propolis.command.host_key import why_closed
from propolis.command.kept import lacking, records
from propolis.command.known import remembered
from propolis.command.stores import open_repository
from propolis.config.schema import Config
from propolis.errors import PropolisError
from propolis.hosts.asking import Reach, coordinator_state, understood
from propolis.platform import open_platform
from propolis.repository import BackupSummary
from propolis.repository.format.damage import Finding
from propolis.repository.records.overview import Overview, overview
from propolis.run import JournalState
from propolis.run.journal import journal_folder
from propolis.run.journals import Watch, open_runs, watches
from propolis.run.lock import held
from propolis.stack.stack import services


@dataclass(frozen=True)
class RunStatus:
    """One run that hasn't ended."""

    run_id: str
    command: str
    started: str
    step: int
    steps: int
    watch: Watch | None = None
    """What its watchdog says, which tries to put it right."""
    is_prepared: bool = False
    """Whether only the verdict of all hosts tells if it is kept or undone: until that is known, it is in doubt."""


@dataclass(frozen=True, kw_only=True)
class KeptState:
    """Former data that one run replaced and keeps; `missing` says of each part what became of it."""

    run: str
    command: str
    backup: str
    at: str
    until: str
    files: int
    bytes: int
    due: bool
    """Its time is over: the next backup or restore drops it, or `propolis clean`."""
    missing: tuple[str, ...]


def known_kept(state: Path) -> tuple[KeptState, ...]:
    """What restores keep, by their records. Raises PreflightError if those can't be read."""
    now = datetime.datetime.now(datetime.UTC)
    return tuple(
        KeptState(
            run=kept.run,
            command=kept.command,
            backup=kept.backup,
            at=kept.at,
            until=kept.until,
            files=kept.files,
            bytes=kept.bytes,
            due=kept.is_due(now),
            missing=lacking(kept),
        )
        for kept in records(state).kept
    )


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What a host is doing, by what is on it; where it can't be asked, `error` says why, and nothing else is known.

    `unreadable` says of journals why they can't be read; `strangers` are named like leftovers and no run's.
    """

    services: dict[str, str] = field(default_factory=dict)
    running: RunStatus | None = None
    half_done: tuple[RunStatus, ...] = ()
    unreadable: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    """Former data that a restore kept, and whose record is gone."""
    kept: tuple[KeptState, ...] = ()
    """Former data that restores keep, oldest first."""
    error: str = ""


@dataclass(frozen=True)
class StackStatus:
    """All of it. `backups` newest last; `backups_error` says why they can't be listed.

    `closed` says why this host can't back up to its repository yet, for want of its key there; empty if it can.
    `unreadable` says of journals why they can't be read; `strangers` are named like leftovers and no run's. `damaged`
    is what is damaged or missing in the repository, `remarks` what is odd there.
    """

    stack: str
    services: dict[str, str]
    running: RunStatus | None
    half_done: tuple[RunStatus, ...]
    unreadable: tuple[str, ...]
    leftovers: tuple[str, ...]
    strangers: tuple[str, ...]
    unrecorded: tuple[str, ...]
    """Former data that a restore kept, and whose record is gone."""
    backups: tuple[BackupSummary, ...]
    backups_error: str | None
    closed: str
    kept: tuple[KeptState, ...] = ()
    """Former data that restores keep, oldest first."""
    damaged: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = ()
    coordinating: RunStatus | None = None
    """A run on several hosts that this one coordinates just now."""
    coordinated: tuple[RunStatus, ...] = ()
    """Those that it coordinated, and that were left half done."""
    hosts: dict[str, HostState] = field(default_factory=dict)
    """The stack's other hosts."""


def state_of(config: Config) -> HostState:
    """Look at this host, without touching anything."""
    running, half_done, unreadable = _runs(config.state)
    left = leftovers.Leftovers((), ()) if held(config.state) else leftovers.find(config)
    return HostState(
        services=_services(config),
        running=running,
        half_done=half_done,
        unreadable=(*unreadable, *records(config.state).unreadable),
        leftovers=tuple(map(str, left.ours)),
        strangers=tuple(map(str, left.strangers)),
        unrecorded=tuple(map(str, left.unrecorded)),
        kept=known_kept(config.state),
    )


def status(config: Config, identity: Path | None = None, last: int = 10, file: Path | None = None) -> StackStatus:
    """Look, without touching anything; the `last` backups, with the recovery key in the file `identity` if given.

    `file` is the configuration: with it, the stack's other hosts are asked, too.
    """
    here = state_of(config)
    known = Overview((), (), (), (), ())
    problem = None
    try:
        repository = open_repository(config, identity)
        known = overview(repository, remembered(config, repository))
    except PropolisError as error:
        problem = str(error)
    coordinating, coordinated, unreadable = _runs(coordinator_state(config))
    return StackStatus(
        stack=config.name,
        services=here.services,
        running=here.running,
        half_done=here.half_done,
        unreadable=(*here.unreadable, *unreadable),
        leftovers=here.leftovers,
        strangers=here.strangers,
        unrecorded=here.unrecorded,
        backups=known.backups[-last:],
        backups_error=problem,
        closed=why_closed(config),
        kept=here.kept,
        damaged=known.findings,
        remarks=known.remarks,
        coordinating=coordinating,
        coordinated=coordinated,
        hosts={} if file is None else _others(Reach(config, file)),
    )


def _runs(state: Path) -> tuple[RunStatus | None, tuple[RunStatus, ...], tuple[str, ...]]:
    """The run under way, by the journals of a state folder, those that were left half done, and unreadable ones."""
    busy = held(state)
    found = open_runs(journal_folder(state))
    runs = [_run(one) for one in found.states]
    # One that a watchdog puts right is over, whoever holds the lock for it just now.
    running = next((run for run in reversed(runs) if busy and run.watch is None), None)
    half_done = tuple(run for run in runs if run is not running)
    return running, half_done, tuple(str(error) for error in found.unreadable)


def _others(reach: Reach) -> dict[str, HostState]:
    found: dict[str, HostState] = {}
    for name, reply in reach.ask_all("status").items():
        try:
            if reply.error is not None:
                raise reply.error
            found[name] = understood(name, reply.value, HostState)
        except PropolisError as error:
            found[name] = HostState(error=str(error))
    return found


def _services(config: Config) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in services(config):
        try:
            found[name] = open_platform(config.platform).state(name).value
        except PropolisError as error:
            found[name] = f"unknown: {error.what}"
    return found


def _run(state: JournalState) -> RunStatus:
    step = state.begun[-1] + 1 if state.begun else 0
    watch = watches(state.path)
    return RunStatus(state.run_id, state.command, state.started, step, len(state.steps), watch, state.is_prepared)
