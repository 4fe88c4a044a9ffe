"""Brings a stack back from whatever an earlier run left half done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydantic

from propolis import clone
from propolis.command.context import Context
from propolis.command.promise import keep_promise, keep_up
from propolis.config.schema import Config
from propolis.errors import InDoubt, PropolisError, ServicesDownError
from propolis.hosts.coordination import Coordination
from propolis.run import JournalState, Observer, StackLock, Telling, UnreadableJournal
from propolis.run.interrupts import Interrupts
from propolis.run.journal import describe, journal_folder
from propolis.run.journals import open_runs, parsed_lines, recorded_places, trials
from propolis.run.recovering import UnknownStep, recover


@dataclass(frozen=True)
class Recovered:
    """One run that was half done, and what became of it: `undone` or `finished`."""

    run_id: str
    command: str
    started: str
    outcome: str


def recover_stack(state: Path, observer: Observer) -> list[Recovered]:
    """Take the lock of the stack with this state folder, and recover it. Raises BusyError while a run is going on.

    Signals are ignored: what puts things right isn't cut short.
    """
    interrupts = Interrupts()
    with StackLock(state), interrupts.active(), Telling(observer) as told:
        interrupts.ignore_from_now_on()
        return recover_held(state, told)


def recover_held(state: Path, observer: Observer) -> list[Recovered]:
    """Undo or finish every open run, the newest first; the caller holds the lock. Idempotent.

    Of a run whose journal can't be read nothing is undone, but its services are brought back; it hides no other.
    Raises ServicesDownError, or the first failure, once every run was tried; what failed stays open.
    """
    recovered: list[Recovered] = []
    failures: list[PropolisError] = []
    runs = open_runs(journal_folder(state))
    for run in reversed(runs.states):
        try:
            recovered.append(Recovered(run.run_id, run.command, run.started, _recover_one(run, observer)))
        except PropolisError as error:
            failures.append(error)
    for unreadable in runs.unreadable:
        failures.append(_keep_promise(unreadable, observer))
    if failures:
        worst = max(failures, key=lambda error: error.exit_code)
        for failure in failures:
            if failure is not worst:
                observer.note(str(failure))
        raise worst
    for place in sorted(recorded_places(journal_folder(state))):
        clone.drop_leftover(place)
    for record in trials(journal_folder(state)):
        record.unlink(missing_ok=True)
    return recovered


def _recover_one(state: JournalState, observer: Observer) -> str:
    # Only what was interrupted needs the steps of every command; others start without them.
    from propolis.backup.known import BACKUP_STEPS
    from propolis.backup.woven import WOVEN_STEPS
    from propolis.restore import RESTORE_STEPS
    from propolis.restore.hosts.verdict import verdict_on
    from propolis.restore.woven.steps import WOVEN_RESTORE_STEPS

    observer.note(f"`propolis {state.command}` of {state.started} was interrupted: recovering it")
    try:
        config = Config.model_validate(state.facts.get("config"))
    except pydantic.ValidationError as error:
        wrong = "; ".join(".".join(map(str, found["loc"])) or found["msg"] for found in error.errors())
        why = f"its configuration was not written for this version: {wrong}"
        raise _keep_promise(_not_understood(state, why), observer) from error
    try:
        if (file := state.facts.get("coordinator")) is not None:
            with Coordination(config, Path(file), observer, state.run_id, is_recovery=True) as coordination:
                return recover(state, WOVEN_STEPS | WOVEN_RESTORE_STEPS, coordination, observer, verdict_on)
        with Context(config, observer, state.run_id) as context:
            return recover(state, BACKUP_STEPS | RESTORE_STEPS, context, observer, verdict_on)
    except InDoubt as error:
        raise _kept_up(state, config, error, observer) from error
    except UnknownStep as error:
        raise _keep_promise(_not_understood(state, error.what), observer) from error
    except PropolisError:
        raise
    except Exception as error:
        raise PropolisError(
            f"The run with the journal {state.path} could not be recovered: {describe(error)}",
            left="The journal records what still has to be undone",
            next="Fix the cause, then run `propolis recover`",
        ) from error


def _kept_up(state: JournalState, config: Config, doubt: InDoubt, observer: Observer) -> PropolisError:
    """Have the services of a prepared run serve its data until the verdict is known; give what is to be said."""
    prepared = state.steps[state.prepare or 0].get("services")
    failures = keep_up(config, tuple(prepared) if isinstance(prepared, list) else (), observer)
    if not failures:
        return doubt
    return ServicesDownError(
        f"{doubt.what}. Until then the restored services are to run, but not all do: {'; '.join(failures)}",
        left="What was replaced is still there",
        next=doubt.next,
    )


def _not_understood(state: JournalState, why: str) -> UnreadableJournal:
    return UnreadableJournal(state.path, why, parsed_lines(state.path))


def _keep_promise(journal: UnreadableJournal, observer: Observer) -> PropolisError:
    """Bring services back, and give what is to be said of the journal."""
    try:
        keep_promise(journal, observer)
    except ServicesDownError as error:
        return error
    return journal
