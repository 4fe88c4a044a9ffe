"""Runs that another process left half done: undone, or finished, by their journals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from propolis.errors import PropolisError
from propolis.run.execution import Verdict, ask, undo_step, worst
from propolis.run.journal import Journal, JournalState
from propolis.run.observer import Observer
from propolis.run.step import Results, Step
from propolis.run.telling import quietly

C = TypeVar("C")


class UnknownStep(PropolisError):
    """A journal holds a step that this version can't read; nothing of its run was undone."""


def recover(
    state: JournalState,
    known: Mapping[str, type[Step[C, Any]]],
    context: C,
    observer: Observer,
    verdict: Verdict[C] | None = None,
) -> str:
    """Undo an open run, or finish it if it had passed its commit point; return the outcome recorded for it.

    One that is prepared but not committed is what the `verdict` says. Idempotent: may itself be killed at any point
    and run again. The caller keeps signals waiting. Raises ServicesDownError or the first failure, and, with nothing
    done, UnknownStep for a step that isn't `known` and InDoubt if the verdict can't be learned.
    """
    steps = [_decode(raw, known) for raw in state.steps]
    is_kept = state.is_committed or (state.is_prepared and ask(verdict, context) == "keep")
    journal = Journal.reopen(state.path)
    try:
        if is_kept:
            _finish(state, steps, context, observer)
        else:
            _undo(state, steps, context, journal, observer)
    except BaseException:
        journal.leave_open()
        raise
    outcome = "finished" if is_kept else "undone"
    if not journal.close(f"{outcome} by recovery"):
        raise PropolisError(
            f"The run has been recovered, but its journal can't be closed: {state.path}",
            left="Services are running again",
            next="Free some space in its folder, then run `propolis recover`",
        )
    return outcome


def _finish(state: JournalState, steps: list[Step[C, Any]], context: C, observer: Observer) -> None:
    for number, step in enumerate(steps):
        if number not in state.done:
            quietly(observer.step_started, number + 1, len(steps), step.title)
            step.do(context, Results())


def _undo(state: JournalState, steps: list[Step[C, Any]], context: C, journal: Journal, observer: Observer) -> None:
    failures: list[BaseException] = []
    for number in reversed(state.begun):
        if number in state.undone:
            continue
        try:
            undo_step(number, steps[number], context, journal, observer)
        except Exception as error:
            failures.append(error)
    if failures:
        raise worst(
            PropolisError(f"`{state.command}` was interrupted"),
            failures,
            "Fix the cause, then run `propolis recover`",
        )


def _decode(raw: dict[str, Any], known: Mapping[str, type[Step[C, Any]]]) -> Step[C, Any]:
    kind = known.get(raw.get("type", ""))
    if kind is None:
        raise UnknownStep(f"this version doesn't know its step {raw.get('type')!r}")
    try:
        step: Step[C, Any] = msgspec.convert(raw, type=kind)
    except msgspec.ValidationError as error:
        raise UnknownStep(f"this version can't read its step {raw.get('type')!r}: {error}") from None
    return step
