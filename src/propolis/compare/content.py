"""Whether live files hold what a backup holds of them, by the hashes that the repository keeps of its segments."""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import msgspec

from propolis.errors import IntegrityError, RepositoryError
from propolis.filesystem.paths import shown
from propolis.repository import Entry, ObjectSource, Repository
from propolis.repository.browse.diff import OTHER, Item, Pair
from propolis.repository.format.entries import SEGMENTS, object_extra, parse_entry
from propolis.repository.format.text import escape, unescape
from propolis.repository.io import direct
from propolis.repository.read.segments import positions
from propolis.s3.objects import ObjectMeta

_WORKERS = 4
"""Each takes one segment of memory."""
_AHEAD = 128
"""Entries that wait for those before them, so that they come in order."""
_STEP = 1 << 20
_SIZE, _PATH, _EXTRA = 7, 10, 12
Segments = list[tuple[int, int, bytes]]
"""Of a file's segments: offset, length, ID. What lies between is a hole."""
Same = Callable[[memoryview, bytes], bool]
"""Whether bytes are those of a segment's ID."""


class Read(Protocol):
    """Reads one kind of live content."""

    def same(self, entry: Entry, segments: Segments, same: Same, room: memoryview) -> tuple[bool, ObjectMeta | None]:
        """Whether it is the entry's; of an object also what the bucket tells about it. Raises OSError."""
        ...


class ContentCheck:
    """Reads live files, several side by side."""

    def __init__(self, repository: Repository, cannot: Callable[[str, str], None]) -> None:
        """`cannot` is told what can't be read, and why."""
        self._repository = repository
        self._table = repository.load_table()
        self._cannot = cannot
        self._local = threading.local()

    def settle(self, pairs: Iterator[Pair], read: Read) -> Iterator[Pair]:
        """The same pairs, after the content of those that are of one size was compared."""
        waiting: collections.deque[tuple[Pair, Future[Item | None] | None]] = collections.deque()
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="content") as threads:
            try:
                for pair in pairs:
                    one, other = pair
                    comparable = one is not None and other is not None and bool(other.fields) and _alike(one, other)
                    waiting.append((pair, threads.submit(self._compare, one, other, read) if comparable else None))
                    if len(waiting) > _AHEAD:
                        yield _settled(*waiting.popleft())
                while waiting:
                    yield _settled(*waiting.popleft())
            finally:
                for _, future in waiting:
                    if future is not None:
                        future.cancel()

    def _compare(self, one: Item | None, other: Item | None, read: Read) -> Item | None:
        """The later item with what is known of its content now; None when it vanished."""
        assert one is not None and other is not None
        entry = parse_entry(b"\t".join(one.fields), "The backup's manifest")
        entry = msgspec.structs.replace(
            entry, path=unescape(other.fields[_PATH])
        )  # as it was found, not as it is told
        try:
            segments = [
                (at, place.length, segment)
                for position, at in positions(self._table, entry)
                for segment, place in [self._table.record(position)]
            ]
            same, meta = read.same(entry, segments, self._same, self._room(segments))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._cannot(f"{entry.tree}/{shown(entry.path)}", str(error.strerror))
            return Item(other.key, [])
        except (IntegrityError, RepositoryError) as error:
            self._cannot(f"{entry.tree}/{shown(entry.path)}", error.what)
            return Item(other.key, [])
        fields = list(other.fields)
        fields[SEGMENTS] = one.fields[SEGMENTS] if same else OTHER
        if meta is not None:
            fields[_EXTRA] = escape(object_extra(meta))
        return Item(other.key, fields)

    def _same(self, data: memoryview, segment: bytes) -> bool:
        return self._repository.key.segment_id(data) == segment

    def _room(self, segments: Segments) -> memoryview:
        size = max([_STEP, *(direct.whole_pages(length) for _, length, _ in segments)])
        room: memoryview | None = getattr(self._local, "room", None)
        if room is None or len(room) < size:
            room = self._local.room = direct.buffer(size)
        return room


class ReadFile:
    """Files of a folder."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    def same(self, entry: Entry, segments: Segments, same: Same, room: memoryview) -> tuple[bool, ObjectMeta | None]:
        """Read the file as far as it is the entry's."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(self._root + b"/" + entry.path, flags)
        try:
            done = 0
            for at, length, segment in segments:
                if not _is_empty(file, done, at, room):
                    return False, None
                done = at + length
                if direct.read(file, room, length, at, whole=entry.size) < length or not same(room[:length], segment):
                    return False, None
            return _is_empty(file, done, entry.size, room) and os.fstat(file).st_size == entry.size, None
        finally:
            os.close(file)


class ReadObject:
    """Objects of a bucket."""

    def __init__(self, source: ObjectSource) -> None:
        self._source = source

    def same(self, entry: Entry, segments: Segments, same: Same, room: memoryview) -> tuple[bool, ObjectMeta | None]:
        """Read the object as far as it is the entry's."""
        meta, chunks = self._source.open_object(entry.path.decode())
        wanted = iter(segments)
        _, length, segment = next(wanted, (0, 0, b""))
        filled = 0
        for chunk in chunks:
            data = memoryview(chunk)
            while data:
                if not length:
                    return False, meta
                part = data[: length - filled]
                room[filled : filled + len(part)] = part
                filled += len(part)
                data = data[len(part) :]
                if filled == length:
                    if not same(room[:length], segment):
                        return False, meta
                    _, length, segment = next(wanted, (0, 0, b""))
                    filled = 0
        return not length, meta


def _alike(one: Item, other: Item) -> bool:
    kind, size = one.fields[0], one.fields[_SIZE]
    if kind != other.fields[0] or size != other.fields[_SIZE]:
        return False
    return kind == b"o" or (kind == b"f" and size != b"0")  # of an object, the list doesn't tell all


def _settled(pair: Pair, future: Future[Item | None] | None) -> Pair:
    return pair if future is None else (pair[0], future.result())


def _is_empty(file: int, begin: int, end: int, room: memoryview) -> bool:
    """Whether a file holds nothing but zeros there."""
    while begin < end:
        count = os.preadv(file, [room[: min(_STEP, end - begin)]], begin)
        if not count or bytes(room[:count]).count(0) != count:
            return False
        begin += count
    return True
