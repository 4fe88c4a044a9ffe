"""A repository that another host serves, as a `Storage`."""

from __future__ import annotations

import collections
import contextlib
import datetime
import itertools
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from propolis.errors import IntegrityError, PropolisError, RepositoryError
from propolis.repository.io import direct
from propolis.repository.io.stream import PIECE, Stream
from propolis.repository.storage.base import (
    Disk,
    LocalFolder,
    ObjectExistsError,
    ObjectLock,
    Stored,
    check_size,
    checked_name,
)
from propolis.repository.storage.remote import messages as m
from propolis.repository.storage.remote.connection import Connection, LostError, Pending, Start
from propolis.repository.storage.remote.explain import explained, lasting
from propolis.repository.storage.remote.paging import place_in_order
from propolis.s3.endpoint import PATIENT, Patience

_FIRST_TRIES = 2
MOST = 4
"""Connections at a time."""
FAR = 0.01
"""Seconds that an answer takes, at least, if a host is far away."""
_BUSY = 2
"""Requests under way in every connection, at which another one is worth its start."""
_AHEAD = 4
"""Pieces of an object that are asked for before their turn."""
_MOST_LISTED = 20_000_000
"""No repository has more objects; a listing that goes on is an attack."""
T = TypeVar("T")


class _Link:
    """The connections of the moment. The first is made when it is needed, and anew when it was lost.

    A host far away gets more of them when there is much to do: SSH has no more than 2 MiB on their way in each.
    """

    def __init__(self, start: Start, path: str, place: str, patience: Patience) -> None:
        self._start, self._path, self._place, self._patience = start, path, place, patience
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        self._adding = False
        self._reached = False
        self._failed: tuple[float, LostError] | None = None
        """When no connection could be made last, and why."""

    def get(self) -> Connection:
        """A connection. Raises `LostError` when none can be made now, or what the server says."""
        asked = time.monotonic()
        with self._lock:
            self._connections = [found for found in self._connections if found.lost is None]
            if not self._connections:
                if self._failed is not None and self._failed[0] > asked:
                    raise self._failed[1]  # somebody else tried meanwhile
                self._connections = [self._first()]
                self._reached = True
            best = min(self._connections, key=lambda found: found.busy)
            far = FAR < min(found.round_trip for found in self._connections) < math.inf
            if far and best.busy >= _BUSY and len(self._connections) < MOST and not self._adding:
                self._adding = True
                threading.Thread(target=self._add, name="remote", daemon=True).start()
            return best

    def _first(self) -> Connection:
        try:
            return Connection(self._start, self._path, self._place)
        except LostError as error:
            self._failed = time.monotonic(), error
            raise

    def waits(self) -> Iterator[float]:
        """How long to wait between tries. Who hasn't been reached yet is more likely misnamed than restarting."""
        patience = self._patience
        return (patience if self._reached else replace(patience, retries=min(_FIRST_TRIES, patience.retries))).waits()

    def close(self) -> None:
        with self._lock:
            for found in self._connections:
                found.close()
            self._connections = []

    def _add(self) -> None:
        with contextlib.suppress(LostError, PropolisError):  # those that are there do as well
            more = Connection(self._start, self._path, self._place)
            with self._lock:
                self._adding = False
                wanted = bool(self._connections)
                if wanted:
                    self._connections.append(more)
            if not wanted:  # all was closed meanwhile
                more.close()


class RemoteStorage:
    """Objects in a folder of another host. Every put is durable when it returns."""

    lock: ObjectLock | None = None
    folder: LocalFolder | None = None
    at: datetime.datetime | None = None

    def __init__(self, start: Start, path: str, place: str, patience: Patience = PATIENT) -> None:
        """`start` starts a server; `path` is the folder that it must have; `place`: what people call it."""
        self._place, self._patience = place, patience
        self._link = _Link(start, path, place, patience)
        self._deleted: set[str] = set()
        """Folders in which objects were deleted that may come back after a power cut."""
        self._lock = threading.Lock()
        weakref.finalize(self, self._link.close)

    def close(self) -> None:
        """End the connection. The next request makes another one."""
        self._link.close()

    @property
    def disk(self) -> Disk | None:
        """See `Storage.disk`."""
        return self

    @property
    def place(self) -> str:
        """The URL."""
        return self._place

    def prepare(self) -> None:
        """Create the folder."""
        self._ask(lambda id: m.Prepare(id=id))

    def put(self, name: str, data: bytes | bytearray | memoryview, *, create: bool = False) -> None:
        """See `Storage.put`."""
        name, view = checked_name(name), memoryview(data)
        unheard = False

        def put(connection: Connection) -> None:
            nonlocal unheard
            try:
                connection.put(name, view, create=create)
            except LostError:
                unheard = True
                raise

        try:
            self.attempt(put)
        except ObjectExistsError:
            # Two writers never create the same name with the same bytes: each puts something random in.
            if unheard and self.size(name) == len(view) and self.get(name, len(view)) == view:
                return
            raise

    def get(self, name: str, limit: int) -> memoryview:
        """See `Storage.get`."""
        reading = _Reading(self, name)
        first = reading.part(0, memoryview(bytearray(min(PIECE, max(limit, 1)))))
        size = check_size(reading.size, limit, name)
        if len(first) == size:
            return first
        return reading.rest(first, size)

    @contextlib.contextmanager
    def stream(self, name: str, limit: int) -> Iterator[Stream]:
        """See `Storage.stream`."""
        reading = _Reading(self, name)
        pieces = reading.pieces(max(limit, 1))
        first = next(pieces)
        size = check_size(reading.size, limit, name)
        yield Stream(size, itertools.chain([first] if first else [], pieces))

    def head(self, name: str, count: int) -> memoryview:
        """See `Storage.head`."""
        reading = _Reading(self, name)
        first = reading.part(0, memoryview(bytearray(min(PIECE, count))))
        size = min(count, reading.size)
        return first if len(first) == size else reading.rest(first, size)

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        name = checked_name(name)
        return self._done(lambda id: m.Size(id=id, name=name)).size

    def list(self, prefix: str) -> Iterator[Stored]:
        """See `Storage.list`."""
        before, count, more = "", 0, True
        start = f"{prefix}/" if prefix else ""
        while more:
            page = self._ask(lambda id: m.List(id=id, prefix=prefix, after=before))  # noqa: B023 - asked at once
            if not isinstance(page, m.Page) or (page.more and not page.objects):
                raise self.nonsense("it lists nothing")
            more = page.more
            for name, size, modified_ns in page.objects:
                if not name.startswith(start) or not _is_name(name) or size < 0:
                    raise self.nonsense("it lists what is not an object")
                if before and place_in_order(name) <= place_in_order(before):
                    raise self.nonsense("it lists objects twice, or out of order")
                before = name
                yield Stored(name, size, modified_ns)
            count += len(page.objects)
            if count > _MOST_LISTED:
                raise self.nonsense("its listing doesn't end")

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        name = checked_name(name)
        folder = name.rpartition("/")[0]
        if folder:
            with self._lock:
                self._deleted.add(folder)
        self._ask(lambda id: m.Delete(id=id, name=name))

    def flush(self) -> None:
        """See `Storage.flush`: deletions; what was put is durable."""
        with self._lock:
            folders, self._deleted = tuple(sorted(self._deleted)), set()
        if folders:
            self._ask(lambda id: m.Flush(id=id, folders=folders))

    def allocate(self, name: str, size: int) -> None:
        """See `Disk.allocate`; there is only the reserve to allocate."""
        self._ask(lambda id: m.Allocate(id=id, size=size))

    def has_room(self, size: int) -> bool:
        """See `Disk.has_room`."""
        return self._done(lambda id: m.Room(id=id, size=size)).yes

    # -- requests --------------------------------------------------------------------------------------------

    def attempt(self, request: Callable[[Connection], T]) -> T:
        """Make a request, and again over a new connection when this one is lost: all may be made twice.

        Raises `RepositoryError`.
        """
        waits, until = self._link.waits(), time.monotonic() + self._patience.total
        while True:
            try:
                return request(self._link.get())
            except LostError as error:
                wait = next(waits, None)
                if wait is None or time.monotonic() > until or lasting(error) is not None:
                    raise explained(error, self._place) from None
            time.sleep(wait)

    def nonsense(self, why: str) -> RepositoryError:
        """The error for an answer that no server gives."""
        return RepositoryError(
            f"The server of the repository {self._place} sent what can't be understood: {why}",
            left="Nothing was concluded from it",
            next="Check that host: it may have been taken over, or run another version of Propolis",
        )

    def _ask(self, make: Callable[[int], m.Request]) -> m.Done | m.Page:
        return self.attempt(lambda connection: connection.ask(make))

    def _done(self, make: Callable[[int], m.Request]) -> m.Done:
        answer = self._ask(make)
        if not isinstance(answer, m.Done):
            raise self.nonsense("a list where none was asked for")
        return answer


class _Reading:
    """Reads one object in parts, which must all be of the same version of it. For one thread."""

    def __init__(self, storage: RemoteStorage, name: str) -> None:
        self._storage, self._name = storage, checked_name(name)
        self._version: str | None = None
        self._ahead: collections.deque[tuple[int, memoryview, Pending]] = collections.deque()
        self.size = 0
        """Bytes of the whole object, once a part of it was read."""

    def part(self, start: int, target: memoryview) -> memoryview:
        """Read one part; it has fewer bytes where the object ends."""
        return self._storage.attempt(
            lambda connection: self._checked(target, connection.read(self._name, start, target))
        )

    def rest(self, first: memoryview, size: int) -> memoryview:
        """So many bytes from the object's beginning, of which the first are here."""
        whole = direct.buffer(size)[:size]
        whole[: len(first)] = first
        starts = iter(range(len(first), size, PIECE))
        done = len(first)
        while done < size:
            while len(self._ahead) < _AHEAD and (start := next(starts, None)) is not None:
                self._begin(start, whole[start : start + PIECE])
            part = self._take()
            done += len(part)
            if not part:
                break
        return whole[:done]

    def pieces(self, most: int) -> Iterator[memoryview]:
        """All pieces, of at most so many bytes; always one. Some are on their way before their turn."""
        # One more than are on their way: the one that is being used.
        buffers = itertools.cycle([memoryview(bytearray(PIECE)) for _ in range(_AHEAD + 1)])
        start = 0
        while True:
            while len(self._ahead) < _AHEAD and start < most:
                self._begin(start, next(buffers)[: most - start])
                start += PIECE
            piece = self._take()
            most = min(most, self.size)
            if len(self._ahead) < _AHEAD and start < most:
                self._begin(start, next(buffers)[: most - start])
                start += PIECE
            yield piece
            if len(piece) < PIECE or not self._ahead:
                return

    def _begin(self, start: int, target: memoryview) -> None:
        pending = self._storage.attempt(lambda connection: connection.read(self._name, start, target))
        self._ahead.append((start, target, pending))

    def _take(self) -> memoryview:
        start, target, pending = self._ahead.popleft()
        try:
            return self._checked(target, pending)
        except LostError:
            return self.part(start, target)

    def _checked(self, target: memoryview, pending: Pending) -> memoryview:
        answer = pending.answer.result()
        if not isinstance(answer, m.Done) or answer.size is None or answer.size < 0:
            raise self._storage.nonsense("it doesn't tell an object's size")
        if self._version is None:
            self._version, self.size = answer.version, answer.size
        elif (self._version, self.size) != (answer.version, answer.size):
            raise IntegrityError(
                f"{self._name} in the repository {self._storage.place} was replaced while it was read",
                next="Run the command again",
            )
        return target[: pending.filled]


def _is_name(name: str) -> bool:
    try:
        return bool(checked_name(name))
    except (RepositoryError, UnicodeEncodeError):
        return False
