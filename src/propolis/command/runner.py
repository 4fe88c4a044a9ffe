"""Runs a command's plan: lock, recovery of what an earlier run left, journal, watchdog, steps."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

    def open_context(observer: Observer, run_id: str) -> Context:
        drop_expired(config, observer, spare)
        return Context(config, observer, run_id)

    facts = {"config": config.model_dump(mode="json")}
    return run_in(config.state, open_context, make_plan, observer, recover_first, facts)


def run_in(
    state: Path,
    open_context: Callable[[Observer, str], C],
    make_plan: Callable[[C], Plan[C]],
    observer: Observer,
    recover_first: RecoverFirst,
    facts: Mapping[str, Any],
    verdict: Verdict[C] | None = None,
) -> tuple[C, Outcome]:
    """Run the plan that `make_plan` gives, with lock and journal in `state`; `facts` are what its recovery needs.

    `recover_first` undoes or finishes what an earlier run left (it is called with the lock held). `verdict` is asked
    where a plan that has prepared something fails.

    Raises what the plan raises; then the stack is as it was before, or the error is ServicesDownError and the
    watchdog tries on. Nothing that `observer` does, or fails to do, has any bearing on the run.
    """
    interrupts = Interrupts()
    with StackLock(state), interrupts.active(), Telling(observer) as told:
        with interrupts.shield():
            recover_earlier(state, told, recover_first)
        run_id = new_run_id()
        with open_context(told, run_id) as context:
            plan = make_plan(context)
            with interrupts.shield():
                begun = Begun.begin(state, run_id, plan, facts)
            try:
                outcome = execute(plan, context, begun.journal, told, interrupts, verdict)
            finally:
                interrupts.ignore_from_now_on()
                begun.end(told)
        return context, outcome


@dataclass(frozen=True)
class Begun:
    """A run that has a journal and is watched: from now on its steps may be done."""

    journal: Journal
    watchdog: Watchdog

    @classmethod
    def begin(
        cls, state: Path, run_id: str, plan: Plan[Any], facts: Mapping[str, Any], silence: float | None = None
    ) -> Begun:
        """Begin it, with signals kept waiting; `facts` are what its recovery needs.

        With `silence` the watchdog also ends it, and recovers, if it hears nothing for so many seconds. Raises
        PreflightError if nobody can watch, PropolisError if there can't be a journal.
        """
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
        return cls(journal, watchdog)

    def end(self, observer: Observer) -> None:
        """Let the watchdog go, or take over what is still half done."""
        if self.journal.closed:
            self.watchdog.dismiss()
        else:
            self.watchdog.take_over()
            observer.note(f"The journal {self.journal.path} is still open; Propolis keeps retrying in the background")
        with contextlib.suppress(OSError, PreflightError):
            forget_old(self.journal.path.parent)


def recovery_command(state: Path) -> list[str]:
    """The command that brings the stack back after this process was killed: it needs the journals alone."""
    return [sys.executable, "-m", "propolis", "recover", "--quiet", "--state", str(state.resolve())]


def recover_earlier(state: Path, observer: Observer, recover_first: RecoverFirst) -> None:
    """Undo or finish what an earlier run left. Raises PreflightError where a journal of one can't be read."""
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
