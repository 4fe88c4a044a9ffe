"""Signals that ask to stop: at once while a plan runs, never while it is being undone."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from propolis.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

HALTING = (signal.SIGTSTP, signal.SIGTTOU)


class Interrupts:
    """While active, the first stopping signal raises Interrupted in the main thread, except inside `shield()`.

    Only the first: when a terminal vanishes, the kernel and the shell send one each, and the second must not cut
    short what the first one set going.
    """

    def __init__(self, stopping: Sequence[signal.Signals] = STOPPING) -> None:
        """Of the signals that ask to stop, those in `stopping` do; the others are ignored."""
        self._stopping = stopping
        self._asked_by = ""
        self._shields = 0
        self._pending: signal.Signals | None = None
        self._raised: signal.Signals | None = None

    @contextlib.contextmanager
    def active(self) -> Iterator[Interrupts]:
        """Handle the signals; the former handlers come back at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        former: dict[signal.Signals, Any] = {
            number: signal.signal(number, self._handle if number in self._stopping else signal.SIG_IGN)
            for number in STOPPING
        }
        # No terminal halts a run while TheHive is down: neither by Ctrl-Z, nor since only its foreground may write.
        former |= {number: signal.signal(number, signal.SIG_IGN) for number in HALTING}
        try:
            yield self
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Keep signals waiting: what is inside is never cut short by one."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._pending is not None and not self._shields:
            self._raise(self._pending)

    @contextlib.contextmanager
    def exposed(self) -> Iterator[None]:
        """Within `shield()`: let signals through all the same, first one that waits."""
        self._shields -= 1
        try:
            if self._pending is not None and not self._shields:
                self._raise(self._pending)
            yield
        finally:
            self._shields += 1

    def ask_to_stop(self, who: str) -> None:
        """Do as a signal does; from any thread, while active in the main thread."""
        self._asked_by = who
        signal.pthread_kill(threading.main_thread().ident or 0, self._stopping[0])

    def check(self) -> None:
        """Raise Interrupted if a signal asked to stop before, and a library swallowed what it raised."""
        if self._raised is not None and not self._shields:
            raise self._interrupted()

    def reason_of(self, failure: BaseException) -> BaseException:
        """Why a run really failed: a signal, whatever a library made of the error that it raised."""
        if self._raised is None or isinstance(failure, Interrupted):
            return failure
        return self._interrupted()

    def ignore_from_now_on(self) -> None:
        """What follows (undo) isn't to be interrupted any more."""
        self._shields += 1

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._raised is not None:
            return
        if self._shields:
            self._pending = signal.Signals(number)
        else:
            self._raise(signal.Signals(number))

    def _raise(self, which: signal.Signals) -> None:
        self._pending = None
        self._raised = which
        raise self._interrupted()

    def _interrupted(self) -> Interrupted:
        assert self._raised is not None
        return Interrupted(f"Interrupted by {self._asked_by or self._raised.name}")
