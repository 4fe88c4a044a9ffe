"""Plans, and their execution: every step is journalled, finished or undone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from propolis.errors import PropolisError, ServicesDownError
from propolis.run.interrupts import Interrupts
from propolis.run.journal import Journal, JournalState
from propolis.run.step import Observer, Step

C = TypeVar("C")


@dataclass(frozen=True)
class Plan(Generic[C]):
    """A command's steps in order.

    `commit` is the number of the step after which the run is finished rather than undone (None: no such step).
    """

    command: str
    steps: tuple[Step[C], ...]
    commit: int | None = None

    def builtins(self) -> list[dict[str, Any]]:
        """The steps as the journal keeps them."""
        return [msgspec.to_builtins(step) for step in self.steps]


@dataclass(frozen=True)
class Outcome:
    """What an executed plan leaves: each step's result and its seconds, in order."""

    results: tuple[Mapping[str, Any], ...]
    seconds: tuple[float, ...]


def execute(plan: Plan[C], context: C, journal: Journal, observer: Observer, interrupts: Interrupts) -> Outcome:
    """Run a plan to its end.

    On any failure before its commit point all begun steps are undone in reverse and the failure is raised again;
    ServicesDownError if a service could not be brought back. Behind the commit point nothing is undone: the journal
    stays open, and recovery finishes the rest.
    """
    results: list[Mapping[str, Any]] = []
    seconds: list[float] = []
    begun: list[int] = []
    count = len(plan.steps)
    try:
        for number, step in enumerate(plan.steps):
            with interrupts.shield():
                journal.before(number)
                begun.append(number)
            observer.step_started(number + 1, count, step.title)
            start = time.monotonic()
            result = step.do(context) or {}
            with interrupts.shield():
                journal.after(number, result)
                results.append(result)
            seconds.append(time.monotonic() - start)
            observer.step_ended(number + 1, count, step.title, seconds[-1])
    except BaseException as error:
        interrupts.ignore_from_now_on()
        journal.failed(describe(error))
        if plan.commit is not None and len(results) > plan.commit:
            journal.leave_open()
            raise
        failures = undo_steps(
            [(number, plan.steps[number]) for number in reversed(begun)], context, journal, observer
        )
        if failures:
            journal.leave_open()
            raise _worst(error, failures) from error
        try:
            journal.end("undone")
        except OSError:
            # No room even for one line: the journal stays open, and recovery finds all undone already.
            journal.leave_open()
        raise
    journal.end("done")
    return Outcome(tuple(results), tuple(seconds))


def recover(
    state: JournalState,
    known: Mapping[str, type[Step[C]]],
    context: C,
    observer: Observer,
    interrupts: Interrupts,
) -> str:
    """Undo an open run, or finish it if it had passed its commit point; return the outcome recorded for it.

    Idempotent: may itself be killed at any point and run again. Raises ServicesDownError or the first failure.
    """
    steps = [_decode(raw, known) for raw in state.steps]
    journal = Journal.reopen(state.path)
    interrupts.ignore_from_now_on()
    if state.is_committed:
        for number, step in enumerate(steps):
            if number not in state.done:
                observer.step_started(number + 1, len(steps), step.title)
                journal.after(number, step.do(context))
        journal.end("finished by recovery")
        return "finished"
    pending = [(number, steps[number]) for number in reversed(state.begun) if number not in state.undone]
    failures = undo_steps(pending, context, journal, observer)
    if failures:
        journal.leave_open()
        raise _worst(PropolisError(f"`{state.command}` was cut short"), failures)
    journal.end("undone by recovery")
    return "undone"


def undo_steps(
    steps: Sequence[tuple[int, Step[C]]], context: C, journal: Journal, observer: Observer
) -> list[BaseException]:
    """Undo each of `steps` in the order given, going on after failures, which are returned."""
    failures: list[BaseException] = []
    for number, step in steps:
        try:
            if type(step).undo is not Step.undo:
                observer.undoing(step.title)
                step.undo(context)
            journal.undone(number)
        except Exception as error:
            failures.append(error)
    return failures


def describe(error: BaseException) -> str:
    """One line for a journal."""
    text = str(error) if isinstance(error, PropolisError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _worst(error: BaseException, failures: list[BaseException]) -> PropolisError:
    told = "; ".join(describe(failure).rstrip(".") for failure in failures)
    if any(isinstance(failure, ServicesDownError) for failure in failures):
        return ServicesDownError(
            f"{describe(error).rstrip('.')}. Then, while putting things back: {told}",
            next="Mend the cause, then run `propolis recover`",
        )
    return PropolisError(
        f"{describe(error).rstrip('.')}. Then, while putting things back: {told}",
        left="What could not be undone stays in the journal",
        next="Mend the cause, then run `propolis recover`",
    )


def _decode(raw: dict[str, Any], known: Mapping[str, type[Step[C]]]) -> Step[C]:
    kind = known.get(raw.get("type", ""))
    if kind is None:
        raise PropolisError(
            f"The journal holds a step that this version does not know: {raw.get('type')!r}",
            left="Nothing was touched",
            next="Run `propolis recover` with the version that wrote it",
        )
    return msgspec.convert(raw, type=kind)
