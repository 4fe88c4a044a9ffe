"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from propolis.checks.look import Look
from propolis.checks.model import Check, Command


@dataclass(frozen=True)
class Rule:
    """One thing to look at, and what a failure means to whom.

    `stops` are the commands that end with it, before anything is touched; to those in `warns` it is a warning.
    `doctor` asks every rule.
    """

    name: str
    look: Callable[[Look], Iterator[Check]]
    stops: tuple[Command, ...] = ()
    warns: tuple[Command, ...] = ()

    def concerns(self, command: Command) -> bool:
        """Whether the command asks it."""
        return command == "doctor" or command in self.stops or command in self.warns
