"""Where a repository's objects lie: one small Protocol, a folder and S3 behind it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.io.stream import Stream


class MissingObjectError(IntegrityError):
    """An object that must be there is not."""


class ObjectExistsError(RepositoryError):
    """An object that was to be created is there already."""


class NoRoomError(RepositoryError):
    """The storage is full."""


class NoFolderError(RepositoryError):
    """The whole folder of a repository is not there."""


@dataclass(frozen=True)
class Stored:
    """One object as a listing shows it."""

    name: str
    size: int
    modified_ns: int
    """By the storage's own clock."""


def checked_name(name: str) -> str:
    """An object's name, if it is one in every storage; raises `RepositoryError`."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or not name.isprintable():
        raise RepositoryError(f"{name!r} is not a valid object name")
    return name


def check_size(size: int, limit: int, name: str) -> int:
    """The size of an object if it is within the limit; raises `IntegrityError`."""
    if size > limit:
        raise IntegrityError(f"{name} has {size} bytes; at most {limit} are allowed")
    return size


def gone(place: str, name: str) -> IntegrityError:
    """The error for an object that a backup needs and that isn't there."""
    return IntegrityError(
        f"{name} is missing from the repository {place}, and is needed",
        left="No backup was recorded",
        next="Run `propolis repository check`, then repair, with the maintenance credential",
    )


@dataclass(frozen=True)
class Retention:
    """How an object is locked."""

    mode: str
    """GOVERNANCE or COMPLIANCE."""
    until: datetime.datetime


class ObjectLock(Protocol):
    """What a storage can do that locks its objects: until then, nobody removes them."""

    def reach(self) -> datetime.datetime:
        """Until when what is stored now is locked."""
        ...

    def require_lock(self) -> None:
        """Raise `ConfigError` unless the storage can lock objects, `RepositoryError` when that can't be told."""
        ...

    def put_until(self, name: str, data: bytes | bytearray | memoryview, until: datetime.datetime) -> None:
        """`Storage.put`, locked until that time."""
        ...

    def retention(self, name: str) -> Retention | None:
        """How an object is locked, None if it isn't; raises `IntegrityError` when there is none of that name."""
        ...

    def extend(self, names: Iterable[str], until: datetime.datetime) -> int:
        """Lock objects until that time at least; how many weren't.

        Raises `IntegrityError` when an object is gone, `RepositoryError` when the storage refuses.
        """
        ...


class LocalFolder(Protocol):
    """What a storage can do that lies in a folder of this host."""

    @property
    def root(self) -> Path:
        """The folder."""
        ...


class Disk(Protocol):
    """What a storage can do whose disk can be full, so that a reserve is kept there."""

    def allocate(self, name: str, size: int) -> None:
        """Make an object of so many bytes that take up room. Raises `NoRoomError`."""
        ...

    def has_room(self, size: int) -> bool:
        """Whether the disk would take so many bytes now."""
        ...


class Storage(Protocol):
    """Objects by name. All methods may be called from any thread.

    They raise `MissingObjectError`, `ObjectExistsError` or another `RepositoryError`.
    What only some storages can do is asked of `lock`, `folder`, `disk` and `at`, not of their kind.
    """

    @property
    def lock(self) -> ObjectLock | None:
        """With it, every object but leases is locked when it is stored."""
        ...

    @property
    def folder(self) -> LocalFolder | None:
        """With it, the objects are files of this host."""
        ...

    @property
    def disk(self) -> Disk | None:
        """With it, a reserve is kept for the day its disk is full."""
        ...

    @property
    def at(self) -> datetime.datetime | None:
        """With it, the storage is read as it was then, and is read-only."""
        ...

    @property
    def place(self) -> str:
        """Where this is, for people."""
        ...

    def put(self, name: str, data: bytes | bytearray | memoryview, *, create: bool = False) -> None:
        """Store an object atomically; durable after `flush`. `create`: fail when it exists; durable at once.

        A name must not be created twice: some versioned buckets hold that a deleted object exists.
        """
        ...

    def get(self, name: str, limit: int) -> memoryview:
        """A whole object; `IntegrityError` if larger than `limit` bytes."""
        ...

    def stream(self, name: str, limit: int) -> AbstractContextManager[Stream]:
        """A large object piece by piece, for a `with` block; `IntegrityError` if larger than `limit` bytes.

        Asking for a piece raises what `get` does.
        """
        ...

    def head(self, name: str, count: int) -> memoryview:
        """The first `count` bytes, fewer when the object is smaller."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of an object, None when there is none."""
        ...

    def list(self, prefix: str) -> Iterator[Stored]:
        """Objects whose name begins with the folder `prefix` (empty: all objects), in any order."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens when there is none."""
        ...

    def flush(self) -> None:
        """Return once everything put or deleted before is durable."""
        ...

    def prepare(self) -> None:
        """Make the storage usable for a new repository (create the folder)."""
        ...
