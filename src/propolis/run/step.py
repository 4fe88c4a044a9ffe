"""A step: one thing a plan does, and how to undo it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

C_contra = TypeVar("C_contra", contravariant=True)
"""What a step works with: the command's context."""

Result = Mapping[str, Any]
"""What a finished step leaves in the journal: JSON values only, never a secret."""


class Step(msgspec.Struct, Generic[C_contra], frozen=True, kw_only=True):
    """One typed step of a plan.

    Its fields are written to the journal, so that another process can undo it: plain JSON values only. Subclasses
    set `tag=` to the stable name under which the journal knows them.
    """

    commits: ClassVar[bool] = False
    """Whether a run is finished rather than undone once such a step is done: its plan's commit point."""

    @property
    def title(self) -> str:
        """What it does, in a few words, as `--plan` prints it."""
        raise NotImplementedError

    def do(self, context: C_contra) -> Result | None:
        """Do it. Steps behind a plan's commit point must be idempotent."""
        raise NotImplementedError

    def promise(self, context: C_contra) -> Mapping[str, Any] | None:
        """What the run owes from this step on, whatever becomes of it: written to the journal before the step begins.

        It stands until another step promises something else (None: nothing changes), and is so plain that a version
        which understands nothing else of the journal can still keep it: see `propolis.command.promise`.
        """
        return None

    def undo(self, context: C_contra) -> None:
        """Bring back what was before. Idempotent; also called for a step that was cut short at any point."""


def tag_of(step: Step[Any] | type[Step[Any]]) -> str:
    """Return the name under which the journal knows a step."""
    tag = step.__struct_config__.tag
    assert isinstance(tag, str), f"{step} has no tag"
    return tag


class Observer(Protocol):
    """Whoever wants to know how a run gets on: the console, a JSON writer."""

    def step_started(self, number: int, count: int, title: str) -> None:
        """Step `number` of `count` (from 1) begins."""

    def step_ended(self, number: int, count: int, title: str, seconds: float) -> None:
        """It ended well."""

    def undoing(self, title: str) -> None:
        """A begun step is being undone."""

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Within a step: `done` of `total` units (`total` None: not known)."""

    def note(self, text: str) -> None:
        """Something the user should know, in one line."""

    def close(self) -> None:
        """Nothing more is told: what is shown as under way isn't any more. Idempotent."""


class SilentObserver:
    """Tells nobody."""

    def step_started(self, number: int, count: int, title: str) -> None:
        """Ignore."""

    def step_ended(self, number: int, count: int, title: str, seconds: float) -> None:
        """Ignore."""

    def undoing(self, title: str) -> None:
        """Ignore."""

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def close(self) -> None:
        """Ignore."""
