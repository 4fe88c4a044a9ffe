"""Original inode numbers of cloned files, kept in 16 bytes a file.

A reflinked or copied file has an inode of its own, but an incremental backup recognises an unchanged file by
path, size, modification time and *original* inode. A million files must fit beside everything else that a
backup holds in memory, so paths are kept as their 64-bit hashes in plain arrays rather than as strings.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from threading import Lock

_PARTS = 64
"""Sorted one part at a time, on first use, so that sorting needs little memory and costs no downtime."""


class _Part:
    """Those paths whose hash ends in the same bits."""

    __slots__ = ("inodes", "keys", "lock", "sorted")

    def __init__(self) -> None:
        self.keys = array("q")
        self.inodes = array("Q")
        self.sorted = True
        self.lock = Lock()

    def sort(self) -> None:
        with self.lock:
            if self.sorted:
                return
            order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
            self.keys = array("q", (self.keys[i] for i in order))
            self.inodes = array("Q", (self.inodes[i] for i in order))
            self.sorted = True


class InodeTable:
    """Maps paths to inodes. One thread fills a table; any number may read it afterwards.

    Two paths with one hash (one chance in 37 million for a million files) are both reported as unknown: an
    unknown file is merely read again. The hash is Python's own, salted anew in every process: a table is
    never stored.
    """

    def __init__(self) -> None:
        self._parts = [_Part() for _ in range(_PARTS)]

    def __len__(self) -> int:
        return sum(len(part.keys) for part in self._parts)

    def add(self, path: str, inode: int) -> None:
        """Remember the inode of one path; each path is added once."""
        key = hash(path)
        part = self._parts[key % _PARTS]
        part.keys.append(key)
        part.inodes.append(inode)
        part.sorted = False

    def get(self, path: str) -> int | None:
        """Return the inode remembered for a path, or None."""
        key = hash(path)
        part = self._parts[key % _PARTS]
        if not part.sorted:
            part.sort()
        at = bisect_left(part.keys, key)
        if at == len(part.keys) or part.keys[at] != key:
            return None
        if at + 1 < len(part.keys) and part.keys[at + 1] == key:
            return None
        return part.inodes[at]
