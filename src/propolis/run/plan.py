"""Plans, and their execution: every step is journalled, finished or undone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from propolis.errors import PropolisError, ServicesDownError
from propolis.run.interrupts import Interrupts
from propolis.run.journal import Journal, JournalState, describe
from propolis.run.observer import Observer
from propolis.run.step import Results, Step
from propolis.run.telling import quietly

C = TypeVar("C")

TRIES_ON = "Fix the cause. Propolis keeps retrying in the background; `propolis recover` retries at once"


class UnknownStep(PropolisError):
    """A journal holds a step that this version can't read; nothing of its run was undone."""


@dataclass(frozen=True)
class Plan(Generic[C]):
    """A command's steps in order, and what its planner found out that they need; that isn't kept in the journal.

    Raises ValueError if more than one step commits, if a step needs a result that none before it gives, or if one
    behind the commit point needs any: another process, which has no results, must be able to finish the run.
    """

    command: str
    steps: tuple[Step[C, Any], ...]
    given: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        if sum(step.commits for step in self.steps) > 1:
            raise ValueError(f"{self.command}: more than one step commits")
        present = {type(step) for step in self.steps}
        before: set[type[Any]] = {type(value) for value in self.given}
        for number, step in enumerate(self.steps):
            wanted = {*step.needs, *present.intersection(step.uses)}
            if missing := wanted - before:
                names = ", ".join(sorted(kind.__name__ for kind in missing))
                raise ValueError(f"{self.command}: {type(step).__name__} comes without, or before, {names}")
            if wanted and self.commit is not None and number > self.commit:
                raise ValueError(
                    f"{self.command}: {type(step).__name__} is behind the commit point and needs results"
                )
            before.add(type(step))

    @property
    def commit(self) -> int | None:
        """The number of the step after which the run is finished rather than undone; None: there is none."""
        return next((number for number, step in enumerate(self.steps) if step.commits), None)

    def builtins(self) -> list[dict[str, Any]]:
        """The steps as the journal keeps them."""
        return [msgspec.to_builtins(step) for step in self.steps]


@dataclass(frozen=True)
class Outcome:
    """What an executed plan leaves: the results of its steps, and each one's seconds, in order."""

    results: Results
    seconds: tuple[float, ...]


def execute(plan: Plan[C], context: C, journal: Journal, observer: Observer, interrupts: Interrupts) -> Outcome:
    """Run a plan to its end.

    On any failure before its commit point all begun steps are undone in reverse and the failure is raised again;
    ServicesDownError if a service could not be brought back. Behind the commit point nothing is undone: the journal
    stays open, and recovery finishes the rest. The journal is closed when this returns or raises, unless there is
    still something to do (`Journal.closed`).
    """
    results = Results(plan.given)
    seconds: list[float] = []
    begun: list[int] = []
    count, done = len(plan.steps), 0
    try:
        for number, step in enumerate(plan.steps):
            interrupts.check()
            promised = step.promise(context)
            with interrupts.shield():
                if promised is not None:
                    journal.promise(promised)
                journal.before(number)
                begun.append(number)
            quietly(observer.step_started, number + 1, count, step.title)
            start = time.monotonic()
            result = step.do(context, results.seen_by(step))
            summary = step.summary(result)
            with interrupts.shield():
                journal.after(number, summary)
                results.keep(step, result)
                done += 1
            seconds.append(time.monotonic() - start)
            quietly(observer.step_ended, number + 1, count, step.title, seconds[-1])
    except BaseException as failure:
        # Nothing comes between the failure and the undoing that could fail itself: all telling is done afterwards.
        interrupts.ignore_from_now_on()
        error = interrupts.reason_of(failure)
        if plan.commit is not None and done > plan.commit:
            journal.failed(error)
            journal.leave_open()
            if error is not failure:
                raise error from failure
            raise
        failures = undo_steps(
            [(number, plan.steps[number]) for number in reversed(begun)], context, journal, observer
        )
        journal.failed(error)
        if failures:
            journal.leave_open()
            raise _worst(error, failures, TRIES_ON) from failure
        journal.close("undone")
        if error is not failure:
            raise error from failure
        raise
    interrupts.ignore_from_now_on()
    journal.close("done")
    return Outcome(results, tuple(seconds))


def recover(state: JournalState, known: Mapping[str, type[Step[C, Any]]], context: C, observer: Observer) -> str:
    """Undo an open run, or finish it if it had passed its commit point; return the outcome recorded for it.

    Idempotent: may itself be killed at any point and run again. The caller keeps signals waiting. Raises
    ServicesDownError or the first failure, and UnknownStep, with nothing done, for a step that isn't `known`.
    """
    steps = [_decode(raw, known) for raw in state.steps]
    journal = Journal.reopen(state.path)
    if state.is_committed:
        try:
            for number, step in enumerate(steps):
                if number not in state.done:
                    quietly(observer.step_started, number + 1, len(steps), step.title)
                    step.do(context, Results())
        except BaseException:
            journal.leave_open()
            raise
        outcome = "finished"
    else:
        pending = [(number, steps[number]) for number in reversed(state.begun) if number not in state.undone]
        failures = undo_steps(pending, context, journal, observer)
        if failures:
            journal.leave_open()
            raise _worst(
                PropolisError(f"`{state.command}` was interrupted"),
                failures,
                "Fix the cause, then run `propolis recover`",
            )
        outcome = "undone"
    if not journal.close(f"{outcome} by recovery"):
        raise PropolisError(
            f"The run has been recovered, but its journal can't be closed: {state.path}",
            left="Services are running again",
            next="Free some space in its folder, then run `propolis recover`",
        )
    return outcome


def undo_steps(
    steps: Sequence[tuple[int, Step[C, Any]]], context: C, journal: Journal, observer: Observer
) -> list[BaseException]:
    """Undo each of `steps` in the order given, going on after failures, which are returned."""
    failures: list[BaseException] = []
    for number, step in steps:
        try:
            if type(step).undo is not Step.undo:
                if not step.tries_only:
                    quietly(observer.undoing, step.title)
                step.undo(context)
            journal.undone(number)
        except Exception as error:
            failures.append(error)
    return failures


def _worst(error: BaseException, failures: list[BaseException], next: str) -> PropolisError:
    told = "; ".join(describe(failure).rstrip(".") for failure in failures)
    what = f"{describe(error).rstrip('.')}. Then, while undoing it: {told}"
    if any(isinstance(failure, ServicesDownError) for failure in failures):
        return ServicesDownError(what, next=next)
    return PropolisError(what, left="The journal records what still has to be undone", next=next)


def _decode(raw: dict[str, Any], known: Mapping[str, type[Step[C, Any]]]) -> Step[C, Any]:
    kind = known.get(raw.get("type", ""))
    if kind is None:
        raise UnknownStep(f"this version doesn't know its step {raw.get('type')!r}")
    try:
        step: Step[C, Any] = msgspec.convert(raw, type=kind)
    except msgspec.ValidationError as error:
        raise UnknownStep(f"this version can't read its step {raw.get('type')!r}: {error}") from None
    return step
