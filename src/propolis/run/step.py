"""A step: one thing a plan does, what it gives, and how to undo it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

C_contra = TypeVar("C_contra", contravariant=True)
"""What a step works with: the command's context."""

R = TypeVar("R")
"""What a step gives to those after it; None: nothing."""

T = TypeVar("T")

Kinds = tuple[type[Any], ...]


class Step(msgspec.Struct, Generic[C_contra, R], frozen=True, kw_only=True):
    """One typed step of a plan.

    Its fields are written to the journal, so that another process can undo it: plain JSON values only. Subclasses
    set `tag=` to the stable name under which the journal knows them. What it gives stays in memory: only `do` of
    later steps gets it, so undoing needs no more than the fields.
    """

    commits: ClassVar[bool] = False
    """Whether a run is finished rather than undone once such a step is done: its plan's commit point."""

    prepares: ClassVar[bool] = False
    """Whether, from the end of such a step to the commit point, the verdict of all hosts decides if the run is
    finished or undone."""

    tries_only: ClassVar[bool] = False
    """Whether undoing it only removes what it made to find something out: nobody needs to be told."""

    turn: ClassVar[str] = ""
    """The phase of the steps of this class, where it is the same for all of them."""

    needs: ClassVar[Kinds] = ()
    """Classes of the steps and of the planner's values whose results `do` asks for: a plan without them isn't one."""

    uses: ClassVar[Kinds] = ()
    """Classes of steps whose results `do` asks for if the plan has such steps, which then come before."""

    @property
    def phase(self) -> str:
        """When its turn is among the steps of several plans that run side by side; empty: it never is one of them."""
        return self.turn

    @property
    def title(self) -> str:
        """What it does, in a few words, as `--plan` prints it."""
        return self._title()

    def _title(self) -> str:
        raise NotImplementedError

    def do(self, context: C_contra, results: Results) -> R:
        """Do it, and give its result. Steps behind a plan's commit point, or behind one that prepares, must be
        idempotent, and get no results.
        """
        raise NotImplementedError

    def summary(self, result: R) -> Mapping[str, Any] | None:
        """What the journal keeps of the result: JSON values only, never a secret."""
        return None

    def promise(self, context: C_contra) -> Mapping[str, Any] | None:
        """What the run owes from this step on, whatever becomes of it: written to the journal before the step begins.

        It stands until another step promises something else (None: nothing changes), and is so plain that a version
        which understands nothing else of the journal can still keep it: see `propolis.command.promise`.
        """
        return None

    def undo(self, context: C_contra) -> None:
        """Bring back what was before. Idempotent; also called for a step that was cut short at any point."""


class Results:
    """What a run's steps gave so far, asked for by the step's class, and what its planner `given` beforehand.

    A step is handed a view of them that gives what the step says it `needs` or `uses`, and nothing else. Asking for
    anything else raises LookupError: so a plan that could be constructed has no step that misses a result.
    """

    def __init__(self, given: Iterable[object] = ()) -> None:
        self._given = {type(value): value for value in given}
        self._kept: dict[type[Any], list[Any]] = {}
        self._needs: Kinds | None = None
        self._uses: Kinds = ()

    def __getitem__(self, step: type[Step[Any, R]]) -> R:
        """The result of the step of this class."""
        self._require_needed(step)
        kept: list[R] = self._kept.get(step, [])
        (result,) = kept
        return result

    def get(self, step: type[Step[Any, R]]) -> R | None:
        """The result of the step of this class; None if the plan has none."""
        return next(iter(self.all(step)), None)

    def all(self, step: type[Step[Any, R]]) -> tuple[R, ...]:
        """The results of every step of this class, in the plan's order."""
        if step not in self._uses:
            self._require_needed(step)
        return tuple(self._kept.get(step, ()))

    def given(self, kind: type[T]) -> T:
        """The value of this class that the planner gave."""
        self._require_needed(kind)
        if kind not in self._given:
            raise LookupError(f"no {kind.__name__} was given")
        return self._given[kind]  # type: ignore[return-value]

    def keep(self, step: Step[Any, R], result: R) -> None:
        """Keep what a step gave."""
        self._kept.setdefault(type(step), []).append(result)

    def seen_by(self, step: Step[Any, Any]) -> Results:
        """The view of them for one step."""
        view = Results(self._given.values())
        view._kept, view._needs, view._uses = self._kept, step.needs, step.uses
        return view

    def _require_needed(self, kind: type[Any]) -> None:
        if self._needs is not None and kind not in self._needs:
            raise LookupError(f"the step asks for {kind.__name__} without saying that it needs it")


def tag_of(step: Step[Any, Any] | type[Step[Any, Any]]) -> str:
    """Return the name under which the journal knows a step."""
    tag = step.__struct_config__.tag
    assert isinstance(tag, str), f"{step} has no tag"
    return tag
