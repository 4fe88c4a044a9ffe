"""A storage in memory: thousands of damaged copies of a repository in a minute."""

import contextlib
import datetime
import time
from collections.abc import Iterator

from propolis.errors import IntegrityError
from propolis.repository.io.stream import Stream
from propolis.repository.storage.base import (
    Disk,
    LocalFolder,
    MissingObjectError,
    ObjectExistsError,
    ObjectLock,
    Stored,
)


class MemoryStorage:
    """Objects in a dictionary."""

    place = "memory"
    lock: ObjectLock | None = None
    folder: LocalFolder | None = None
    disk: Disk | None = None
    at: datetime.datetime | None = None

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})

    def prepare(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def put(self, name: str, data: bytes | bytearray | memoryview, *, create: bool = False) -> None:
        if create and name in self.objects:
            raise ObjectExistsError(f"{name} exists already")
        self.objects[name] = bytes(data)

    def get(self, name: str, limit: int) -> memoryview:
        data = self._find(name)
        if len(data) > limit:
            raise IntegrityError(f"{name} is larger than {limit} bytes")
        return memoryview(data)

    @contextlib.contextmanager
    def stream(self, name: str, limit: int) -> Iterator[Stream]:
        yield Stream.of(self.get(name, limit))

    def head(self, name: str, count: int) -> memoryview:
        return memoryview(self._find(name)[:count])

    def size(self, name: str) -> int | None:
        return len(self.objects[name]) if name in self.objects else None

    def list(self, prefix: str) -> Iterator[Stored]:
        for name, data in list(self.objects.items()):
            if not prefix or name.startswith(f"{prefix}/"):
                yield Stored(name, len(data), time.time_ns())

    def delete(self, name: str) -> None:
        self.objects.pop(name, None)

    def _find(self, name: str) -> bytes:
        if name not in self.objects:
            raise MissingObjectError(f"{name} is missing from the repository {self.place}")
        return self.objects[name]
