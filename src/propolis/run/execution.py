"""Steps of a plan, done and undone by their numbers: each is journalled, and told.

Whoever gives the numbers decides when: `execute` all in order, an agent those that its coordinator tells it. What a
step may follow, what is recorded of it, and what must not be undone any more stands here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from propolis.errors import InDoubt, PropolisError, ServicesDownError
from propolis.run.interrupts import Interrupts
from propolis.run.journal import Journal, describe
from propolis.run.observer import Observer
from propolis.run.plan import Plan
from propolis.run.step import Results, Step
from propolis.run.telling import quietly

C = TypeVar("C")

TRIES_ON = "Fix the cause. Propolis keeps retrying in the background; `propolis recover` retries at once"

Word = Literal["keep", "undo"]
"""Whether all hosts keep what a run prepared on them, or all undo it."""


Verdict = Callable[[C], Word]
"""Gives the verdict on a run that is prepared on this host; where nobody spoke yet, it makes that `undo`. It never
changes any more. Raises InDoubt if it can't be learned now."""


class Kept(PropolisError):
    """The verdict on a prepared run is to keep it, so it is not undone: recovery finishes it."""


class OutOfTurn(PropolisError):
    """A step can't be done or undone now; nothing was done."""


@dataclass(frozen=True)
class Outcome:
    """What an executed plan leaves: the results of its steps, and each one's seconds, in order."""

    results: Results
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Ended:
    """A step that was done: what the journal keeps of its result, and how long it took."""

    summary: Mapping[str, Any] | None
    seconds: float


class Execution(Generic[C]):
    """A run of a plan, step by step. Steps are done in order, and undone in reverse; after an undo none is done."""

    def __init__(
        self,
        plan: Plan[C],
        context: C,
        journal: Journal,
        observer: Observer,
        interrupts: Interrupts,
        verdict: Verdict[C] | None = None,
    ) -> None:
        self.plan = plan
        self.context = context
        self.journal = journal
        self.results = Results(plan.given)
        self.ended: dict[int, Ended] = {}
        """The steps that were done, on record."""
        self.begun: list[int] = []
        self._observer = observer
        self._interrupts = interrupts
        self._verdict = verdict
        self._tried: set[int] = set()
        self._undone: set[int] = set()
        self._is_undoing = False
        self._is_given_up = False

    def is_done(self, number: int | None) -> bool:
        """Say whether a step ended well, on record."""
        return number is not None and number in self.ended

    @property
    def is_committed(self) -> bool:
        """Whether the run passed its commit point: nothing of it is undone any more."""
        return self.is_done(self.plan.commit)

    @property
    def settled(self) -> str | None:
        """How the run ended: `done` or `undone`, as its journal says it; None while something is half done."""
        if len(self.ended) == len(self.plan.steps) and not self._tried:
            return "done"
        return "undone" if self._undone.issuperset(self.begun) else None

    def do(self, number: int) -> Ended:
        """Do the next step.

        Raises what the step raises; then it has begun and has to be undone. OutOfTurn if it isn't the next one.
        """
        if number != len(self.begun) or self._is_undoing or number not in range(len(self.plan.steps)):
            raise OutOfTurn(f"Step {number + 1} of `{self.plan.command}` can't be done now: it isn't the next one")
        step, count = self.plan.steps[number], len(self.plan.steps)
        self._interrupts.check()
        promised = step.promise(self.context)
        with self._interrupts.shield():
            if promised is not None:
                self.journal.promise(promised)
            self.journal.before(number)
            self.begun.append(number)
        quietly(self._observer.step_started, number + 1, count, step.title)
        start = time.monotonic()
        result = step.do(self.context, self.results.seen_by(step))
        summary = step.summary(result)
        with self._interrupts.shield():
            self.journal.after(number, summary)
            self.results.keep(step, result)
            self.ended[number] = ended = Ended(summary, time.monotonic() - start)
        quietly(self._observer.step_ended, number + 1, count, step.title, ended.seconds)
        return ended

    def undo(self, number: int) -> None:
        """Undo a begun step once those after it were undone, or tried to be; from now on no signal cuts it short.

        One that never began needs no undoing. Raises what undoing raises; Kept or InDoubt, with nothing undone, if
        the run is prepared and its verdict isn't to undo it; OutOfTurn if the run is committed, or if a later step
        wasn't undone yet.
        """
        self._interrupts.ignore_from_now_on()
        later = {begun for begun in self.begun if begun > number}
        if self.is_committed or not later <= self._tried:
            raise OutOfTurn(f"Step {number + 1} of `{self.plan.command}` can't be undone now")
        self._is_undoing = True
        if number not in self.begun:
            return
        self._require_verdict()
        self._tried.add(number)
        undo_step(number, self.plan.steps[number], self.context, self.journal, self._observer)
        self._undone.add(number)

    def undo_all(self) -> list[BaseException]:
        """Undo what began, in reverse, going on after failures, which are returned."""
        failures: list[BaseException] = []
        for number in reversed(self.begun):
            try:
                self.undo(number)
            except (Kept, InDoubt) as error:
                return [error]
            except Exception as error:
                failures.append(error)
        return failures

    def _require_verdict(self) -> None:
        if self._is_given_up or not self.is_done(self.plan.prepare):
            return
        if ask(self._verdict, self.context) == "keep":
            raise Kept(f"`{self.plan.command}` was kept by the verdict of all hosts, so it is finished, not undone")
        self._is_given_up = True


def execute(
    plan: Plan[C],
    context: C,
    journal: Journal,
    observer: Observer,
    interrupts: Interrupts,
    verdict: Verdict[C] | None = None,
) -> Outcome:
    """Run a plan to its end.

    On any failure before its commit point all begun steps are undone in reverse and the failure is raised again;
    ServicesDownError if a service could not be brought back. Once the plan is prepared that takes the `verdict`.
    Behind the commit point nothing is undone: the journal stays open, and recovery finishes the rest. The journal is
    closed when this returns or raises, unless there is still something to do (`Journal.closed`).
    """
    run = Execution(plan, context, journal, observer, interrupts, verdict)
    try:
        for number in range(len(plan.steps)):
            run.do(number)
    except BaseException as failure:
        # Nothing comes between the failure and the undoing that could fail itself: all telling is done afterwards.
        interrupts.ignore_from_now_on()
        error = interrupts.reason_of(failure)
        failures = [] if run.is_committed else run.undo_all()
        journal.failed(error)
        if failures:
            journal.leave_open()
            raise worst(error, failures, TRIES_ON) from failure
        if run.is_committed:
            journal.leave_open()
        else:
            journal.close("undone")
        if error is not failure:
            raise error from failure
        raise
    interrupts.ignore_from_now_on()
    journal.close("done")
    return Outcome(run.results, tuple(ended.seconds for ended in run.ended.values()))


def ask(verdict: Verdict[C] | None, context: C) -> Word:
    """Ask for the verdict. Raises InDoubt, also where nobody can be asked."""
    if verdict is None:
        raise InDoubt("Nobody can be asked whether the prepared run is kept or undone")
    return verdict(context)


def undo_step(number: int, step: Step[C, Any], context: C, journal: Journal, observer: Observer) -> None:
    """Undo one step, and record it. Raises what undoing raises."""
    if type(step).undo is not Step.undo:
        if not step.tries_only:
            quietly(observer.undoing, step.title)
        step.undo(context)
    journal.undone(number)


def worst(error: BaseException, failures: Sequence[BaseException], next: str) -> PropolisError:
    """Make one error of why a run failed and of what then failed while it was being undone."""
    told = "; ".join(describe(failure).rstrip(".") for failure in failures)
    what = f"{describe(error).rstrip('.')}. Then, while undoing it: {told}"
    if any(isinstance(failure, ServicesDownError) for failure in failures):
        return ServicesDownError(what, next=next)
    for failure in failures:
        if isinstance(failure, InDoubt):
            return InDoubt(what, next=next)
    return PropolisError(what, left="The journal records what still has to be undone", next=next)
