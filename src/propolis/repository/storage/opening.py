"""The storage at a location: the one module that knows every kind."""

from __future__ import annotations

import functools
from pathlib import Path

from propolis.errors import ConfigError
from propolis.repository.storage.base import Storage
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.storage.location import Location


def open_storage(location: Location) -> Storage:
    """The storage there; `ConfigError` when the URL is of no known kind. Nothing is contacted yet."""
    if location.is_folder:
        return _folder(location)
    if location.url.startswith("s3://"):
        return _bucket(location)
    if location.url.startswith("ssh://"):
        return _remote(location)
    raise ConfigError(
        f"repository.url: {location.url!r} is neither an absolute folder nor s3://bucket/prefix nor ssh://host/folder"
    )


def _folder(location: Location) -> Storage:
    _require_today(location)
    folder = Path(location.url)
    if not folder.is_absolute():
        raise ConfigError(f"repository.url: the folder {location.url!r} is not an absolute path")
    return FolderStorage(folder)


def _remote(location: Location) -> Storage:
    from propolis.link.process import Process
    from propolis.repository.storage.remote.address import Address
    from propolis.repository.storage.remote.client import RemoteStorage

    _require_today(location)
    address = Address.parse(location.url)
    start = functools.partial(Process, location.command or address.command(), f"The repository {location.url}")
    return RemoteStorage(start, address.path, location.url)


def _require_today(location: Location) -> None:
    if location.at is not None:
        raise ConfigError(
            f"The repository {location.url} is a folder, which keeps no former versions",
            next="Leave out --at; only a bucket with versions can be read as it was",
        )


def _bucket(location: Location) -> Storage:
    # Loaded here: the S3 clients take a tenth of a command's start, which a folder spares.
    if location.at is not None:
        from propolis.repository.storage.past import PastStorage

        return PastStorage(location, location.at)
    if location.object_lock is not None:
        from propolis.repository.storage.locked import LockedStorage

        return LockedStorage(location, location.object_lock)
    from propolis.repository.storage.bucket import S3Storage

    return S3Storage(location)
