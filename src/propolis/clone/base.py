"""What every clone method offers, and what a clone reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from propolis.clone.inodes import InodeTable
from propolis.filesystem.unkept import Unkept


class Method(StrEnum):
    """How a folder is cloned, best first."""

    REFLINK = "reflink"
    HARDLINK = "hardlink"
    COPY = "copy"


Immutable = Callable[[str], bool]
"""Says of a path in the cloned folder ("a/b/c") whether the file never changes in place once its service stopped.

Anything a rule doesn't know must be False: then its bytes are copied.
"""

KeptEmpty = Callable[[str], str | None]
"""Says of a folder in the cloned one ("a/b") whether it is kept without what it holds, and what that is called."""


def none_kept_empty(path: str) -> str | None:
    """Keep every folder with all that is in it (a `KeptEmpty` rule)."""
    return None


@dataclass(frozen=True)
class Survey:
    """What cloning a folder would take, counted without touching it.

    `bytes_copied` is what is really written while the service is down; `free` is what the filesystem has left
    for it (bytes that any user may take).
    """

    folder: Path
    method: Method
    files: int
    bytes_total: int
    bytes_copied: int
    free: int


@dataclass(frozen=True)
class CloneReport:
    """What one clone took.

    `bytes_shared` are those of files that share their blocks with the original, `bytes_copied` those really
    written. `unkept` names what is not in the clone (sockets, pipes, devices, what was to be left out), relative to
    the folder. `linked` are the inodes of those hard-linked files that had several names before.
    """

    source: Path
    clone: Path
    method: Method
    files: int
    bytes_shared: int
    bytes_copied: int
    seconds: float
    folders: int
    unkept: tuple[Unkept, ...]
    inodes: InodeTable
    linked: frozenset[int]

    def inode_of(self, path: str) -> int | None:
        """Return the original's inode of a cloned file, or None where the clone's own is the original's.

        `path` is relative to the folder, as `os.scandir` spells it. Valid within this process only.
        """
        return self.inodes.get(path)
