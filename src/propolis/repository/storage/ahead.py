"""Reading small objects before their turn."""

from __future__ import annotations

import collections
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from propolis.repository.storage.base import Stored

T = TypeVar("T")
_AHEAD = 4


_AHEAD_BYTES = 4 << 20
"""A few small objects bridge the storage's delays; large ones would only take memory."""


def read_ahead(
    wanted: Iterable[Stored], read: Callable[[Stored], T]
) -> Generator[tuple[Stored, Future[T]], None, None]:
    """Objects, in order, and what `read` makes of each. Small ones are read before their turn, several side by side.

    The future's `result` raises what `read` raised.
    """
    waiting: collections.deque[tuple[Stored, Future[T]]] = collections.deque()
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="ahead") as threads:
        try:
            for stored in wanted:
                waiting.append((stored, threads.submit(read, stored)))
                # The one whose turn it is doesn't count: there is always one at work.
                while len(waiting) > _AHEAD or sum(item.size for item, _ in list(waiting)[1:]) > _AHEAD_BYTES:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for _, found in waiting:
                found.cancel()
