"""Space that a repository on a disk keeps for the day its disk is full, given up for a prune.

To free space, a prune first needs some: for its lease, for a record of what it removes, for new indexes. So a file
holds that much from the first day on. A bucket has no such file: it has a quota, if anything, which can be raised.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from propolis.errors import RepositoryError
from propolis.repository.storage.base import Storage
from propolis.repository.storage.kinds import RESERVE

LEAST = 16 << 20


def needed(storage: Storage) -> int:
    """Bytes that a prune may need before it frees any: it writes indexes anew before it deletes the old ones."""
    indexes = sum(stored.size for stored in storage.list("indexes"))
    return LEAST + (indexes * 5 // 4) // LEAST * LEAST  # in steps, so that it seldom has to grow


def is_there(storage: Storage) -> bool:
    """Whether the reserve is there and large enough; True for a bucket, which has none."""
    return storage.disk is None or (storage.size(RESERVE) or 0) >= needed(storage)


def keep(storage: Storage) -> str:
    """Have the reserve there. Why that can't be, if it can't; empty otherwise, and for a bucket."""
    try:
        if storage.disk is not None and not is_there(storage):
            storage.disk.allocate(RESERVE, needed(storage))
    except RepositoryError as error:
        return f"The repository has no reserve, so it can't be pruned when its disk is full: {error.what}"
    return ""


class Room:
    """Whether the reserve was given up, and whether it is there again."""

    def __init__(self) -> None:
        self.given_up = False
        self.missing = ""
        """Why it couldn't be put back."""


@contextlib.contextmanager
def room_to_prune(storage: Storage) -> Iterator[Room]:
    """For a `with` block that frees space: on a full disk, the reserve is given up for it, and put back after."""
    room = Room()
    if storage.disk is not None and storage.size(RESERVE) is not None:
        room.given_up = not storage.disk.has_room(needed(storage))
    if not room.given_up:
        yield room
        return
    storage.delete(RESERVE)
    storage.flush()
    try:
        yield room
    finally:
        room.missing = keep(storage)
