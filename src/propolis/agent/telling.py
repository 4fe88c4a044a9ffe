"""What a host tells its coordinator while it works."""

from __future__ import annotations

import time
from collections.abc import Callable

from propolis.link.messages import FromAgent, Note, Progress
from propolis.run import SilentObserver
from propolis.run.journal import readable

PAUSE = 0.2
"""Least seconds between two reports of progress."""

LONGEST = 4000
"""Letters of a text that crosses a link."""


class LinkObserver(SilentObserver):
    """Sends notes and progress; which step is done the coordinator knows. For a `Telling`: it may wait."""

    def __init__(self, send: Callable[[FromAgent], None]) -> None:
        self._send = send
        self._next = 0.0

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Send it now and then, and the last of it."""
        if time.monotonic() >= self._next or done == total:
            self._send(Progress(done=done, total=total, unit=unit))
            self._next = time.monotonic() + PAUSE

    def note(self, text: str) -> None:
        """Send it."""
        self._send(Note(text=fit(text)))


def fit(text: str) -> str:
    """Text as it may cross a link."""
    whole: str = readable(text)
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST - 1]}…"
