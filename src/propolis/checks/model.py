"""What a rule is, and what it comes back with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from propolis.checks.look import Look

Result = Literal["ok", "warn", "fail"]

Command = Literal["doctor", "backup", "restore"]
"""Commands that ask rules."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    `fail` means that a backup or restore would fail or be incomplete, `warn` that somebody should know.
    `hint` says what to do; it is empty where nothing is to be done.
    """

    name: str
    result: Result
    message: str
    hint: str = ""


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
