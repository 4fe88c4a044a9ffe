"""Telling never decides: whatever happens to the terminal, pipe or file that is told, the run goes on.

A plan tells a `Telling`, which hands everything to its observer in a thread of its own. So an observer that raises (a
broken pipe, a terminal that vanished, a full disk) raises there, and one that blocks (a terminal that was paused with
Ctrl-S, a pipe that nobody reads) blocks there, while TheHive is started again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from propolis.errors import Interrupted
from propolis.run.observer import Observer

WAITING = 1000
"""Events that may wait for a slow observer; more are dropped."""

LAST_WORDS = 2.0
"""Seconds that a slow observer is given, at the end, for what still waits."""


class Telling:
    """An observer that passes everything on to another one, and never raises or blocks."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        # Its `put` is one call that no signal handler can cut short while it holds a lock.
        self._events: SimpleQueue[tuple[str, tuple[Any, ...]] | None] = SimpleQueue()
        self._progress: tuple[int, int | None, str] | None = None
        self._thread = threading.Thread(target=self._pass_on, name="telling", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def step_started(self, number: int, count: int, title: str) -> None:
        """Pass it on."""
        self._tell("step_started", number, count, title)

    def step_ended(self, number: int, count: int, title: str, seconds: float) -> None:
        """Pass it on."""
        self._tell("step_ended", number, count, title, seconds)

    def undoing(self, title: str) -> None:
        """Pass it on."""
        self._tell("undoing", title)

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Pass on the newest: what waits is replaced."""
        waits = self._progress is not None
        self._progress = (done, total, unit)
        if not waits:
            self._tell("progress")

    def note(self, text: str) -> None:
        """Pass it on."""
        self._tell("note", text)

    def close(self) -> None:
        """Pass on what still waits, and that it was the last."""
        self._events.put(None)
        self._thread.join(LAST_WORDS)

    def _tell(self, what: str, *arguments: Any) -> None:
        if self._events.qsize() < WAITING:
            self._events.put((what, arguments))

    def _pass_on(self) -> None:
        while (event := self._events.get()) is not None:
            what, arguments = event
            if what == "progress":
                arguments, self._progress = self._progress or (0, None, ""), None
            quietly(getattr(self._observer, what), *arguments)
        quietly(self._observer.close)


def quietly(tell: Callable[..., object], *arguments: Any) -> None:
    """Tell, and let no failure of telling be anybody's: not even an exit that an observer asks for.

    Only a signal that comes just then passes through: it isn't the telling's.
    """
    try:
        tell(*arguments)
    except Interrupted:
        raise
    except BaseException:  # noqa: S110 - nobody is left who could be told
        pass
