"""What an entry may be. The writer takes nothing that breaks a rule, and every reader refuses what does.

So whatever is backed up can be restored, and whatever can't be restored is not called whole.
"""

from __future__ import annotations

import array
import os
from collections.abc import Iterable, Sequence

from propolis.errors import IntegrityError
from propolis.filesystem import acl
from propolis.filesystem.attributes import ACCESS_LISTS, Attributes, is_kept
from propolis.repository.format.entries import (
    Entry,
    Header,
    TreeHeader,
    attributes_of,
    content_of,
    link_of,
    object_meta,
    order,
)
from propolis.s3.objects import ObjectMeta

LONGEST_PATH = 4095
LONGEST_NAME = 255
LONGEST_LINK = 4095
"""Bytes, as Linux has it; so are all lengths here."""
_NOBODY = (1 << 32) - 1
"""The number that means "leave it" to chown."""
_SECOND = 10**9
_FIRST_MOMENT, _LAST_MOMENT = -(1 << 63) * _SECOND, (1 << 63) * _SECOND - 1
"""All that the kernel's seconds since 1970 can say."""
LARGEST = (1 << 63) - 1
MOST_PIECES = 400_000
"""Segments and holes of one file: its line has to stay below the limit of a text's lines."""
LONGEST_ATTRIBUTE = 64 << 10
MOST_ATTRIBUTES = 1 << 20
"""Bytes of all names and values of one file."""


def bad_numbers(mode: int, uid: int, gid: int, mtime_ns: int, size: int, inode: int) -> str | None:
    """Which of these no entry can have, in a few words; None when all is well. Times in nanoseconds since 1970."""
    if not 0 <= mode < 1 << 12:
        return f"a mode of {mode:o}"
    if not (0 <= uid < _NOBODY and 0 <= gid < _NOBODY):
        return f"an owner of number {uid}:{gid}"
    if not _FIRST_MOMENT <= mtime_ns <= _LAST_MOMENT:
        return f"a time of {mtime_ns} ns"
    if not 0 <= size <= LARGEST:
        return f"a size of {size} bytes"
    if not 0 <= inode < 1 << 64:
        return f"an inode of number {inode}"
    return None


def bad_path(path: bytes) -> str | None:
    """Why no file in a folder can be called so, relative to it; None when one can."""
    if len(path) > LONGEST_PATH:
        return f"a path of {len(path)} bytes"
    names = b"/" + path + b"/"
    # Several times faster than an expression.
    if b"//" in names or b"/./" in names or b"/../" in names or b"\0" in path:
        return "a path that leads elsewhere"
    if len(path) > LONGEST_NAME and any(len(name) > LONGEST_NAME for name in path.split(b"/")):
        return f"a name of more than {LONGEST_NAME} bytes"
    return None


def bad_object(meta: ObjectMeta) -> str | None:
    """Why an object can't be kept, in a few words; None when it can."""
    try:
        meta.key.encode()
    except UnicodeEncodeError:
        return "its key is not text"
    problem = bad_numbers(0, 0, 0, meta.last_modified_ns, meta.size, 0)
    return None if problem is None else f"it has {problem}"


def bad_link(target: bytes) -> str | None:
    """Why no symbolic link can hold this; None when one can."""
    if not 0 < len(target) <= LONGEST_LINK or b"\0" in target:
        return f"a link's target of {len(target)} bytes"
    return None


def bad_attributes(attributes: Attributes) -> str | None:
    """Why no file can have these attributes; None when one can."""
    if sum(len(name) + len(value) for name, value in attributes) > MOST_ATTRIBUTES:
        return "too many attributes"
    before = b""
    for name, value in attributes:
        if name <= before or b"\0" in name or len(name) > LONGEST_NAME or not is_kept(name):
            return f"an attribute called {os.fsdecode(name)!r}"
        if len(value) > LONGEST_ATTRIBUTE:
            return f"an attribute of {len(value)} bytes"
        if name in ACCESS_LISTS and not _is_list(value):
            return "an invalid access list"
        before = name
    return None


def safe_parts(path: bytes, where: str) -> list[bytes]:
    """A relative path's names; raises `IntegrityError` for any that could lead elsewhere."""
    _refuse(bad_path(path), where)
    return path.split(b"/")


def label(entry: Entry) -> str:
    """How an entry is called in messages: `tree/path`."""
    return f"{entry.tree}/{os.fsdecode(entry.path)}"


class TreeRules:
    """Holds a tree's entries to the rules, one after the other. It remembers folders, and 8 bytes a file."""

    def __init__(self, header: TreeHeader) -> None:
        self._header = header
        self._folders: set[bytes] = set()
        self._last: bytes | None = None
        # 64 bits each, of a hash that nobody outside can aim at.
        self._keys: set[int] = set()
        self._files = array.array("q")
        self._linked: dict[int, Entry] = {}
        self.entries = self.files = self.bytes = self.holes = 0

    def take(self, entry: Entry) -> None:
        """Check the next entry; raises `IntegrityError`."""
        where = label(entry)
        _refuse(bad_numbers(entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.size, entry.inode), where)
        self.entries += 1
        if entry.type in "fo":
            self.files += 1
            self.bytes += entry.size
            self.holes += self._holes(entry)
        elif entry.size or entry.segments:
            raise IntegrityError(f"{where} has content, and is neither a file nor an object")
        if entry.attributes:
            _refuse(bad_attributes(attributes_of(entry)), where)
        if self._header.kind == "bucket":
            self._take_object(entry)
        else:
            self._take_file(entry)

    def end(self) -> None:
        """After the last entry: all that the header states and links name was there; else `IntegrityError`."""
        header = self._header
        if self._linked:
            missing = self._linked.keys() - set(self._files)
            if missing:
                raise IntegrityError(
                    f"{label(self._linked[missing.pop()])} is a hard link to a file that is not in the backup"
                )
        if (self.entries, self.files, self.bytes, self.holes) != (
            header.entries,
            header.files,
            header.bytes,
            header.holes,
        ):
            raise IntegrityError(f"The tree {header.name} does not have the entries that its header states")

    def _take_object(self, entry: Entry) -> None:
        if entry.type != "o":
            raise IntegrityError(f"{label(entry)} is in a bucket but is not an object")
        object_meta(entry)
        # Buckets are listed in an order of their own.
        key = hash(entry.path)
        if key in self._keys:
            raise IntegrityError(f"{label(entry)} comes twice")
        self._keys.add(key)

    def _take_file(self, entry: Entry) -> None:
        where = label(entry)
        path = b"" if entry.path == b"." and entry.type == "d" else entry.path
        if path:
            safe_parts(path, where)
        here = order(path)
        if (path and path.rpartition(b"/")[0] not in self._folders) or (
            self._last is not None and here <= self._last
        ):
            raise IntegrityError(f"{where} is not in a folder of the backup, out of order, or twice")
        self._last = here
        if entry.type == "d":
            self._folders.add(path)
        elif entry.type == "f":
            self._files.append(hash(path))
        elif entry.type == "l":
            _refuse(bad_link(entry.extra), where)
        elif entry.type == "h":
            first = link_of(entry)
            safe_parts(first, where)
            if order(first) >= here:
                raise IntegrityError(f"{where} is a hard link to a later entry")
            self._linked.setdefault(hash(first), entry)
        else:
            raise IntegrityError(f"{where} is an object inside of a folder")

    def _holes(self, entry: Entry) -> int:
        """The bytes of its holes."""
        pieces: Sequence[bytes | int] = content_of(entry.segments)
        holes = sum(piece for piece in pieces if isinstance(piece, int))
        if len(pieces) > MOST_PIECES or holes > entry.size or (holes and entry.type == "o"):
            raise IntegrityError(f"{label(entry)} has holes that it can't have")
        return holes


class BackupRules:
    """Holds all of a backup's entries to the rules."""

    def __init__(self, header: Header) -> None:
        """Raises `IntegrityError` when the header itself breaks one."""
        self._trees = {tree.name: TreeRules(tree) for tree in header.trees}
        if len(self._trees) != len(header.trees):
            raise IntegrityError("The backup has two trees with the same name")

    def take(self, entry: Entry) -> None:
        """Check the next entry; raises `IntegrityError`."""
        tree = self._trees.get(entry.tree)
        if tree is None:
            raise IntegrityError(f"{label(entry)} belongs to no tree of the backup")
        tree.take(entry)

    def trees(self) -> Iterable[TreeRules]:
        """The rules of each tree: what was counted, and after the last entry, `end`."""
        return self._trees.values()


def check_entries(header: Header, entries: Iterable[Entry]) -> None:
    """Hold a whole backup to the rules; raises `IntegrityError` at the first that is broken."""
    rules = BackupRules(header)
    for entry in entries:
        rules.take(entry)
    for tree in rules.trees():
        tree.end()


def _refuse(problem: str | None, where: str) -> None:
    if problem is not None:
        raise IntegrityError(
            f"{where} has {problem}, which is not possible", next="Do not restore from this backup: use another one"
        )


def _is_list(value: bytes) -> bool:
    try:
        acl.parse(value)
    except ValueError:
        return False
    return True
