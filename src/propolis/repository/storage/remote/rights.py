"""What a client may do with a served repository.

Append-only is for hosts: they add objects and read them. Nothing of what is there can be changed or removed, with two
exceptions that no backup can do without: leases (they live for minutes, and losing one loses no data) and the reserve
(it holds nothing). Maintenance (prune, repair, keys) may change and remove objects of every kind.
"""

from __future__ import annotations

import datetime

from propolis.clock import utc_now
from propolis.errors import RepositoryError
from propolis.repository.storage import reserve
from propolis.repository.storage.base import Storage, checked_name
from propolis.repository.storage.kinds import (
    CONFIG,
    KINDS,
    MANIFEST_LIMIT,
    PARTS,
    QUARANTINE,
    RESERVE,
    TEMPORARY,
    VERDICTS,
)
from propolis.repository.storage.remote.errors import RefusedError

_LEASES = "locks"
_SHARED = "locks/shared-"
_RINGS = ("keys", "spare")
_ADDED = ("packs", "indexes", "manifests", PARTS, VERDICTS, "holds", "verified")
"""What hosts add."""
_GRACE = datetime.timedelta(seconds=60)
"""After which an expired lease really counts as expired, as for those who hold leases."""
_STAMP = "%Y%m%dT%H%M%SZ"
_MORE_RESERVE = 4 * reserve.LEAST
_NEXT = "Use the maintenance credential: an SSH key whose command has --maintenance"


class Rights:
    """What may be done with the objects of `storage`."""

    def __init__(self, storage: Storage, *, append_only: bool) -> None:
        self._storage = storage
        self.append_only = append_only

    def read(self, name: str) -> None:
        """Raise `RepositoryError` unless objects of that name exist in a repository."""
        self._kind(checked_name(name))

    def list(self, prefix: str) -> None:
        """Raise `RepositoryError` unless it is a folder of a repository, or all of it."""
        if prefix:
            self._kind(checked_name(prefix))

    def put(self, name: str, size: int) -> None:
        """Raise `RepositoryError` unless an object of that name and size may be stored."""
        kind = self._kind(checked_name(name))
        if kind in (RESERVE, TEMPORARY):
            raise RefusedError(f"{name} can't be stored in the repository {self._storage.place}: it is the server's")
        limit = KINDS[kind].limit if kind in KINDS else MANIFEST_LIMIT
        if not 0 <= size <= limit:
            raise RefusedError(f"{name} has {size} bytes; at most {limit} are allowed")
        if self.append_only:
            self._append(name, kind)

    def _append(self, name: str, kind: str) -> None:
        if kind not in KINDS or not KINDS[kind].names.fullmatch(name):
            raise self._refused(f"{name} can't be stored")
        if kind == _LEASES and not name.startswith(_SHARED):
            raise self._refused("An exclusive lease can't be taken")
        if kind == _LEASES or kind in _ADDED:
            return
        if kind in (CONFIG, *_RINGS):
            # A new repository: its key rings come first.
            if self._storage.size(CONFIG) is None:
                return
            raise self._refused("Its keys can't be changed" if kind in _RINGS else f"{name} can't be replaced")
        raise self._refused(f"{name} can't be stored")

    def delete(self, name: str) -> None:
        """Raise `RepositoryError` unless that object may be removed."""
        kind = self._kind(checked_name(name))
        if not self.append_only:
            return
        match = KINDS[_LEASES].names.fullmatch(name) if kind == _LEASES else None
        if match is None:
            if kind != _LEASES and self._storage.size(name) is None:
                return
            raise self._refused(f"{name} can't be removed")
        expired = name.split("-")[1] < (utc_now() - _GRACE).strftime(_STAMP)
        if not name.startswith(_SHARED) and not expired:
            raise self._refused("The lease of a prune or repair can't be removed before it has expired")

    def allocate(self, size: int) -> None:
        """Raise `RepositoryError` when that is more than a reserve needs."""
        limit = reserve.needed(self._storage) + _MORE_RESERVE
        if not 0 <= size <= limit:
            raise RefusedError(f"A reserve of {size} bytes can't be kept; at most {limit} are allowed")

    def _kind(self, name: str) -> str:
        kind = name.partition("/")[0]
        if kind not in (*KINDS, QUARANTINE, TEMPORARY):
            raise RefusedError(f"{name!r} is not a name of a repository's object", left="Nothing was changed")
        return kind

    def _refused(self, what: str) -> RepositoryError:
        return RefusedError(
            f"{what}: the repository {self._storage.place} is served append-only to this key",
            left="Nothing was changed",
            next=_NEXT,
        )
