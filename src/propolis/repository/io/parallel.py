"""Working through items side by side, in threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_MOST_WORKERS = 6
"""Each takes some 20 MB at most."""


def side_by_side(items: Iterable[T], make: Callable[[], Callable[[T], None]], workers: int | None = None) -> None:
    """Call a function for every item, in threads that each made their own; the first error stops all."""
    source = iter(items)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def take() -> Iterator[T]:
        while not failures:
            with lock:
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item

    def run() -> None:
        try:
            work = make()
            for item in take():
                work(item)
        except BaseException as error:
            failures.append(error)

    # More than processors: while some wait for the storage, the others have enough to do.
    count = workers or min(_MOST_WORKERS, (os.cpu_count() or 2) + 2)
    threads = [threading.Thread(target=run, name=f"fetch-{number}", daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:
        failures.append(error)
        for thread in threads:
            thread.join()
        raise
    if failures:
        raise failures[0]
