"""Ctrl-C, SIGTERM and SIGHUP: they end what is being done, but never the cleaning up after it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN_SECONDS = 2.0
_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def raise_on(*signals: signal.Signals) -> None:
    """Let these signals do what Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Should it come within what swallows it (a finalizer, a weak reference's callback), it comes once more.
        signal.signal(signal.SIGALRM, _again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)


def _again(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def put_off() -> Iterator[None]:
    """Ignore these signals during the block (only the main thread can; in others nothing changes)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGALRM) is _again:
        signal.setitimer(signal.ITIMER_REAL, 0)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ALL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
