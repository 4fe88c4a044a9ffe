"""Where a repository's objects lie: one small Protocol, a folder and S3 behind it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from propolis.config.schema import ObjectLockConfig, PlaceConfig, SecretRef
from propolis.errors import ConfigError, IntegrityError, RepositoryError
from propolis.repository.stream import Stream


class MissingObjectError(IntegrityError):
    """An object that must be there is not."""


class ObjectExistsError(RepositoryError):
    """An object that was to be created is there already."""


class NoRoomError(RepositoryError):
    """The storage is full."""


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
        raise RepositoryError(f"{name!r} is no object's name")
    return name


def check_size(size: int, limit: int, name: str) -> int:
    """The size of an object if it is within the limit; raises `IntegrityError`."""
    if size > limit:
        raise IntegrityError(f"{name} has {size} bytes where at most {limit} belong")
    return size


class Storage(Protocol):
    """Objects by name. All methods may be called from any thread.

    They raise `MissingObjectError`, `ObjectExistsError` or another `RepositoryError`.
    """

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


@dataclass(frozen=True)
class Location:
    """Where a repository is and how to reach it."""

    url: str
    """An absolute folder, or `s3://bucket/prefix`."""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    ca: Path | None = None
    """PEM file of authorities to trust besides the system's."""
    object_lock: ObjectLockConfig | None = None
    """With it, every object is locked when it is stored."""
    at: datetime.datetime | None = None
    """Read it as it was then (with a time zone), and write nothing."""

    @classmethod
    def from_config(cls, config: PlaceConfig, base: Path | None = None) -> Location:
        """The location that the configuration names; relative secret files are looked for in `base`."""
        return cls(
            config.url,
            config.endpoint,
            config.region,
            _secret(config.access_key, base),
            _secret(config.secret_key, base),
            config.ca,
            config.object_lock,
        )

    def as_of(self, moment: datetime.datetime | None) -> Location:
        """The same place as it was then; None: as it is."""
        return replace(self, at=moment)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this host."""
        return "://" not in self.url

    def storage(self) -> Storage:
        """The storage there; `ConfigError` when the URL is of no known kind. Nothing is contacted yet."""
        if self.is_folder:
            if self.at is not None:
                raise ConfigError(
                    f"The repository {self.url} is a folder, which keeps no former versions",
                    next="Leave out --at; only a bucket with versions can be read as it was",
                )
            from propolis.repository.folder import FolderStorage

            folder = Path(self.url)
            if not folder.is_absolute():
                raise ConfigError(f"repository.url: the folder {self.url!r} is not an absolute path")
            return FolderStorage(folder)
        if self.url.startswith("s3://"):
            if self.at is not None:
                from propolis.repository.versions import PastStorage

                return PastStorage(self, self.at)
            if self.object_lock is not None:
                from propolis.repository.immutability import LockedStorage

                return LockedStorage(self, self.object_lock)
            from propolis.repository.objectstore import S3Storage

            return S3Storage(self)
        raise ConfigError(f"repository.url: {self.url!r} is neither an absolute folder nor s3://bucket/prefix")


def _secret(reference: SecretRef | None, base: Path | None) -> str | None:
    if reference is None:
        return None
    from propolis.config import secrets

    resolve: Any = secrets.resolve
    return str(resolve(reference, base))
