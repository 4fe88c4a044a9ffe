"""Telling how a run gets on: a live line on a terminal, plain lines elsewhere, nothing with --quiet."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TextIO

from propolis.report.units import human_bytes
from propolis.run import Observer, SilentObserver

if TYPE_CHECKING:
    from rich.status import Status


LONG = 5.0
"""Seconds from which on a step is announced before it has ended."""


class PlainObserver(SilentObserver):
    """One line an event, for logs and journals."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lasting: threading.Timer | None = None

    def step_started(self, number: int, count: int, title: str) -> None:
        """Print it once it takes long: a log that shows only what is done looks as if nothing were."""
        self._lasting = threading.Timer(LONG, self._say, (f"[{number:>2}/{count}] {title} ...",))
        self._lasting.daemon = True
        self._lasting.start()

    def step_ended(self, number: int, count: int, title: str, seconds: float) -> None:
        """Print the step."""
        self._over()
        self._say(f"[{number:>2}/{count}] {title}  ({seconds:.1f} s)")

    def undoing(self, title: str) -> None:
        """Print what is undone."""
        self._over()
        self._say(f"undo: {title}")

    def note(self, text: str) -> None:
        """Print it."""
        self._say(f"note: {text}")

    def close(self) -> None:
        """Announce nothing any more."""
        self._over()

    def _over(self) -> None:
        if self._lasting is not None:
            self._lasting.cancel()

    def _say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()


class LiveObserver(PlainObserver):
    """On a terminal: a moving line for the step under way, a plain line for each that ended."""

    def __init__(self, out: TextIO) -> None:
        # Only a terminal takes it, and loading it takes a while.
        from rich.console import Console
        from rich.markup import escape

        super().__init__(out)
        self._console, self._escape = Console(file=out), escape
        self._status: Status | None = None
        self._line = ""
        self._last = 0.0
        self._lock = threading.Lock()

    def step_started(self, number: int, count: int, title: str) -> None:
        """Show it moving."""
        self._line = f"[{number:>2}/{count}] {title}"
        self._status = self._console.status(self._escape(self._line))
        self._status.start()

    def step_ended(self, number: int, count: int, title: str, seconds: float) -> None:
        """Put a line in its place."""
        self._stop()
        super().step_ended(number, count, title, seconds)

    def undoing(self, title: str) -> None:
        """Put a line in the moving one's place."""
        self._stop()
        super().undoing(title)

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Show how far the step is, ten times a second at most."""
        with self._lock:
            if self._status is None or time.monotonic() - self._last < 0.1:
                return
            self._last = time.monotonic()
            of = f" of {human_bytes(total)}" if total else ""
            told = f"{human_bytes(done)}{of}" if unit == "bytes" else f"{done} {unit}"
            self._status.update(self._escape(f"{self._line}: {told}"))

    def close(self) -> None:
        """Take the moving line away: an error may follow."""
        self._stop()
        super().close()

    def _say(self, text: str) -> None:
        self._console.print(self._escape(text), highlight=False, soft_wrap=True)

    def _stop(self) -> None:
        with self._lock:
            if self._status is not None:
                self._status.stop()
                self._status = None


def observer_for(out: TextIO, *, quiet: bool) -> Observer:
    """Choose what fits where it is written: silence, a live line, or plain lines."""
    if quiet:
        return SilentObserver()
    return LiveObserver(out) if out.isatty() else PlainObserver(out)
