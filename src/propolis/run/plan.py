"""Plans: the steps of a command, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from propolis.run.step import Step

C = TypeVar("C")


@dataclass(frozen=True)
class Plan(Generic[C]):
    """A command's steps in order, and what its planner found out that they need; that isn't kept in the journal.

    Raises ValueError if more than one step commits or prepares, if a step needs a result that none before it gives,
    or if one behind the commit point, or behind what prepares for it, needs any: another process, which has no
    results, must be able to finish the run.
    """

    command: str
    steps: tuple[Step[C, Any], ...]
    given: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        if sum(step.commits for step in self.steps) > 1:
            raise ValueError(f"{self.command}: more than one step commits")
        if sum(step.prepares for step in self.steps) > 1:
            raise ValueError(f"{self.command}: more than one step prepares")
        if self.prepare is not None and (self.commit is None or self.commit <= self.prepare):
            raise ValueError(
                f"{self.command}: nothing commits what {type(self.steps[self.prepare]).__name__} prepares"
            )
        last = self.commit if self.prepare is None else self.prepare
        present = {type(step) for step in self.steps}
        before: set[type[Any]] = {type(value) for value in self.given}
        for number, step in enumerate(self.steps):
            wanted = {*step.needs, *present.intersection(step.uses)}
            if missing := wanted - before:
                names = ", ".join(sorted(kind.__name__ for kind in missing))
                raise ValueError(f"{self.command}: {type(step).__name__} comes without, or before, {names}")
            if wanted and last is not None and number > last:
                raise ValueError(
                    f"{self.command}: {type(step).__name__} is behind the commit point and needs results"
                    if self.prepare is None
                    else f"{self.command}: {type(step).__name__} is behind the prepared point and needs results"
                )
            before.add(type(step))

    @property
    def commit(self) -> int | None:
        """The number of the step after which the run is finished rather than undone; None: there is none."""
        return next((number for number, step in enumerate(self.steps) if step.commits), None)

    @property
    def prepare(self) -> int | None:
        """The number of the step after which the verdict decides whether the run is undone or finished, if any."""
        return next((number for number, step in enumerate(self.steps) if step.prepares), None)

    def builtins(self) -> list[dict[str, Any]]:
        """The steps as the journal keeps them."""
        return [msgspec.to_builtins(step) for step in self.steps]
