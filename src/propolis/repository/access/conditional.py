"""Whether a storage creates an object only when there is none: several servers ignore that they were asked to."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket

import msgspec

from propolis.clock import utc_now, utc_text
from propolis.errors import PropolisError, RepositoryError
from propolis.repository.access.holder import Holder
from propolis.repository.storage.base import ObjectExistsError, Storage

IGNORED = "it overwrites objects that must only be created (it ignores If-None-Match)"
STILL_HOLDS = (
    "Leases have unique names, so backups, restores and prune still keep out of each other's way; but two programs "
    "that create a repository or change its keys at the same moment overwrite each other's work"
)
"""What is and isn't safe where it is ignored."""


def creates_once(storage: Storage) -> bool:
    """Whether a second object of a name is refused. Asks with two requests and cleans up; raises `RepositoryError`.

    The object is named as a lease that has expired long ago: if it can't be deleted, it is in nobody's way, and
    whoever deletes such leases deletes it.
    """
    # Asked again, since a prune that starts meanwhile deletes expired leases.
    return _refuses_a_second(storage) or _refuses_a_second(storage)


def require_creates_once(storage: Storage) -> None:
    """Raise `RepositoryError` if a new repository should not be made there."""
    if not creates_once(storage):
        raise RepositoryError(
            f"A repository can't be created at {storage.place}: {IGNORED}",
            left="No repository was created",
            next="Use a storage that respects it (AWS, MinIO, versitygw and SeaweedFS do), or update the server",
        )


def _refuses_a_second(storage: Storage) -> bool:
    name = f"locks/shared-20000101T000000Z-{secrets.token_hex(16)}"
    since = utc_text(utc_now())
    owner = Holder(f"{socket.gethostname()} (a trial)", os.getpid(), since)
    try:
        storage.put(name, msgspec.json.encode(owner), create=True)
        # Of other content: one that is lost on the way and repeated is taken for the same.
        storage.put(name, b"a second one of this name", create=True)
    except ObjectExistsError:
        return True
    finally:
        with contextlib.suppress(PropolisError):
            storage.delete(name)
    return False
