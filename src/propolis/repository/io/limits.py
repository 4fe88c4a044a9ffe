"""How much of the host a backup may take while TheHive serves: bytes sent a second, and its rank among the others."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from propolis.errors import UsageError

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGkmg]?)(?:i?[Bb])?(?:/s)?")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LEAST = 1 << 10
_LOOK = 0.5
_NICE = 10
"""Of a worker's processor time: a ninth of what anything else gets that wants the same processor."""

# ioprio_set(2) and ioprio_get(2) have no wrapper in libc. Numbers from Linux' system call tables.
_CALLS = {"x86_64": (251, 252), "aarch64": (30, 31), "riscv64": (30, 31), "ppc64le": (273, 274), "s390x": (282, 283)}
_WHO_THREAD = 1
_CLASS_IDLE = 3 << 13
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Limits:
    """What a backup may take of the host."""

    upload: int | None = None
    """Most bytes a second that go to the repository, on average; None: as many as it takes."""
    background: bool = False
    """Read and compress only when nothing else wants disk or processor."""


NO_LIMITS = Limits()


def parse_rate(text: str) -> int:
    """Bytes a second of `20M`, `512K`, `1.5G` (powers of 1024) or a plain number; raises `UsageError`."""
    match = _RATE.fullmatch(text.strip())
    rate = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if rate < _LEAST:
        raise UsageError(
            f"{text!r} is not a rate: a rate is a number of bytes per second, at least 1K",
            next="Write it as 512K, 20M or 1.5G",
        )
    return rate


class Pace:
    """Spreads what several threads send, so that together they stay below a rate.

    What was sent must be paid for by waiting before the next: the first piece goes at once, and a piece goes at the
    line's full speed. So over any time no more is sent than the rate allows and one piece for each thread.
    """

    def __init__(
        self,
        rate: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rate` in bytes a second; None: never wait. `clock` and `sleep` are those of `time` unless told."""
        self._rate = rate
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free_at = clock()

    def wait(self, size: int, given_up: Callable[[], bool] = lambda: False) -> float:
        """Wait until `size` more bytes may be sent; returns the seconds waited. Ends early when given up."""
        if self._rate is None:
            return 0.0
        with self._lock:
            start = self._clock()
            turn = max(self._free_at, start)
            self._free_at = turn + size / self._rate
        while (left := turn - self._clock()) > 0 and not given_up():
            self._sleep(min(left, _LOOK))
        return self._clock() - start


def rank_last() -> None:
    """Have this thread wait for others on processor and disk for the rest of its life; where that can't be, it isn't.

    For threads of Propolis' own only: without privileges a thread can't take its former rank again.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    _set_io_rank(_CLASS_IDLE)


@contextlib.contextmanager
def idle_disk() -> Iterator[None]:
    """For a block, let this thread use the disk only when nobody else does. Where that can't be, it isn't."""
    before = _io_rank()
    _set_io_rank(_CLASS_IDLE)
    try:
        yield
    finally:
        if before is not None:
            _set_io_rank(before)


def _io_rank() -> int | None:
    calls = _CALLS.get(os.uname().machine)
    if calls is None:
        return None
    rank: int = _libc.syscall(ctypes.c_long(calls[1]), _WHO_THREAD, threading.get_native_id())
    return rank if rank >= 0 else None


def _set_io_rank(rank: int) -> None:
    calls = _CALLS.get(os.uname().machine)
    if calls is not None:
        _libc.syscall(ctypes.c_long(calls[0]), _WHO_THREAD, threading.get_native_id(), rank)
