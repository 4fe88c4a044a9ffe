"""Runs a command's plan: lock, recovery of what an earlier run left, journal, watchdog, steps."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from propolis.command.context import Context
from propolis.command.kept import drop_expired
from propolis.config.schema import Config
from propolis.errors import PreflightError
from propolis.run import Journal, Observer, Outcome, Plan, StackLock, Telling, execute
from propolis.run.execution import Verdict
from propolis.run.interrupts import Interrupts
from propolis.run.journal import journal_file, journal_folder, new_run_id
from propolis.run.journals import UnreadableJournal, forget_old
from propolis.run.watchdog import Watchdog

C = TypeVar("C", bound=Context)

RecoverFirst = Callable[[Path, Observer], object]


def run(
    config: Config,
    make_plan: Callable[[Context], Plan[Context]],
    observer: Observer,
    recover_first: RecoverFirst,
    *,
    spare: str = "",
) -> tuple[Context, Outcome]:
    """Run the plan that `make_plan` gives, as the only run on this stack, as `run_in` does.

    Former data whose time is over is dropped first, but not that of the run `spare`.
    """
    opening = partial(open_stack, config, spare=spare)
    return run_in(config.state, opening, make_plan, observer, recover_first, stack_facts(config))


def run_in(
    state: Path,
    open_context: Callable[[Observer, str], C],
    make_plan: Callable[[C], Plan[C]],
    observer: Observer,
    recover_first: RecoverFirst,
    facts: Mapping[str, Any],
    verdict: Verdict[C] | None = None,
) -> tuple[C, Outcome]:
    """Run the plan that `make_plan` gives, as `begin` begins it; `verdict` is asked where a prepared one fails.

    Raises what the plan raises; then the stack is as it was before, or the error is ServicesDownError and the
    watchdog tries on. Nothing that `observer` does, or fails to do, has any bearing on the run.
    """
    interrupts = Interrupts()
    with interrupts.active(), Telling(observer) as told:
        beginning = begin(state, new_run_id(), open_context, make_plan, told, recover_first, facts, interrupts)
        with beginning as (context, plan, begun):
            outcome = execute(plan, context, begun.journal, told, interrupts, verdict)
        return context, outcome


@dataclass(frozen=True)
class Begun:
    """A run that has a journal and is watched: from now on its steps may be done."""

    journal: Journal
    watchdog: Watchdog


@contextlib.contextmanager
def begin(
    state: Path,
    run_id: str,
    open_context: Callable[[Observer, str], C],
    make_plan: Callable[[C], Plan[C]],
    told: Observer,
    recover_first: RecoverFirst,
    facts: Mapping[str, Any],
    interrupts: Interrupts,
    silence: float | None = None,
) -> Iterator[tuple[C, Plan[C], Begun]]:
    """Take the lock in `state`, recover what an earlier run left, plan, and begin journal and watchdog there.

    At the end of the `with` block the watchdog is let go if the journal is closed; else it takes over what is half
    done. `recover_first` undoes or finishes what an earlier run left; `facts` are what this run's recovery needs.
    With `silence` the watchdog also ends this process, and recovers, if it hears nothing for so many seconds.
    """
    with StackLock(state):
        with interrupts.shield():
            _recover(state, told, recover_first)
        with open_context(told, run_id) as context:
            plan = make_plan(context)
            with interrupts.shield():
                begun = _begun(state, run_id, plan, facts, silence)
            try:
                yield context, plan, begun
            finally:
                interrupts.ignore_from_now_on()
                _end(begun, told)


def open_stack(config: Config, observer: Observer, run_id: str, *, spare: str = "") -> Context:
    """What the steps of a run on a stack work with; drops former data first whose time is over."""
    drop_expired(config, observer, spare)
    return Context(config, observer, run_id)


def stack_facts(config: Config) -> dict[str, Any]:
    """What the recovery of a run on a stack needs."""
    return {"config": config.model_dump(mode="json")}


def _begun(state: Path, run_id: str, plan: Plan[Any], facts: Mapping[str, Any], silence: float | None) -> Begun:
    watchdog = _watched(state, run_id, silence)
    try:
        journal = Journal.create(
            journal_folder(state),
            run_id=run_id,
            command=plan.command,
            steps=plan.builtins(),
            commit=plan.commit,
            prepare=plan.prepare,
            facts=facts,
        )
    except BaseException:
        watchdog.dismiss()
        raise
    return Begun(journal, watchdog)


def _end(begun: Begun, told: Observer) -> None:
    if begun.journal.closed:
        begun.watchdog.dismiss()
    else:
        begun.watchdog.take_over()
        told.note(f"The journal {begun.journal.path} is still open; Propolis keeps retrying in the background")
    with contextlib.suppress(OSError, PreflightError):
        forget_old(begun.journal.path.parent)


def recovery_command(state: Path) -> list[str]:
    """The command that brings the stack back after this process was killed: it needs the journals alone."""
    return [sys.executable, "-m", "propolis", "recover", "--quiet", "--state", str(state.resolve())]


def _recover(state: Path, observer: Observer, recover_first: RecoverFirst) -> None:
    try:
        recover_first(state, observer)
    except UnreadableJournal as error:  # here that is a reason not to begin
        raise PreflightError(error.what, left=error.left, next=error.next) from error


def _watched(state: Path, run_id: str, silence: float | None) -> Watchdog:
    log = state / "watchdog.log"
    try:
        return Watchdog(recovery_command(state), log, journal_file(journal_folder(state), run_id), silence)
    except OSError as error:
        raise PreflightError(
            "The watchdog, which restarts services if Propolis is killed, can't be started: "
            f"{error.strerror or error}",
            left="Nothing was changed",
            next=f"See {log}, and check whether this host is out of memory or processes",
        ) from error
