"""What reading a backup has in common: finding segments, and working through packs side by side."""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from propolis.errors import IntegrityError
from propolis.repository.entries import content_of
from propolis.repository.index import Pack, SegmentTable
from propolis.repository.layout import RepositoryKey, pack_name
from propolis.repository.model import Entry
from propolis.repository.rules import label
from propolis.repository.storage import Stored

T = TypeVar("T")
_MOST_WORKERS = 6
"""Each takes some 20 MB at most."""
_AHEAD = 4
_AHEAD_BYTES = 4 << 20
"""A few small objects bridge the storage's delays; large ones would only take memory."""


def positions(table: SegmentTable, entry: Entry) -> list[tuple[int, int]]:
    """Of an entry's segments, in order: the position in the table, and the offset in the file.

    Raises `IntegrityError` when one is unknown, or when with the holes they don't have the entry's size.
    """
    found = []
    size = 0
    for piece in content_of(entry.segments):
        if isinstance(piece, int):
            size += piece
            continue
        position = table.position(piece)
        if position is None:
            lost = "".join(f"; {finding.object} can't be read" for finding in table.damaged)
            raise IntegrityError(
                f"{label(entry)} can't be restored: no index knows its segment {piece.hex()}{lost}",
                next="Run propolis repository check, and use another backup",
            )
        found.append((position, size))
        size += table.record(position)[1].length
    if size != entry.size:
        raise IntegrityError(f"{label(entry)} has segments that don't add up to its {entry.size} bytes")
    return found


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


def check_segment(
    key: RepositoryKey, plain: memoryview, segment: bytes, offset: int, length: int, pack: Pack
) -> memoryview:
    """A segment's bytes out of an opened pack; raises `IntegrityError` unless they are those it was named for."""
    data = plain[offset : offset + length]
    if len(data) != length or key.segment_id(data) != segment:
        raise IntegrityError(
            f"{pack_name(pack.hash)} is damaged: segment {segment.hex()} holds other bytes than were backed up",
            next="Run propolis repository check, and use another backup or a copy of the repository",
        )
    return data


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
