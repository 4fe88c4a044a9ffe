"""Saying what is waited for: nobody is to look at a silent command and wonder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from propolis.run import Observer

AFTER = 1.5
"""Seconds of waiting from which on it is told; most waits are shorter."""

EVERY = 60.0
"""Seconds after which it is told again."""


@contextmanager
def patiently(observer: Observer, what: str, at_most: float | None = None) -> Iterator[None]:
    """Tell what is waited for inside the block, and for how many seconds at most, once it takes a while."""
    limit = "" if at_most is None else f" (at most {at_most:g} s)"
    over = threading.Event()

    def tell() -> None:
        pause, passed = AFTER, 0.0
        while not over.wait(pause):
            passed += pause
            since = f", for {passed:.0f} s so far" if passed > AFTER else ""
            observer.note(f"waiting for {what}{limit}{since}")
            pause = EVERY

    teller = threading.Thread(target=tell, name="waiting", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
