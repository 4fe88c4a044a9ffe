"""Whoever is told how a run gets on."""

from __future__ import annotations

from typing import Protocol


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
