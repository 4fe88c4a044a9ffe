"""Turns what a walk finds in a folder into lines of the manifest; what has no place there is counted and named."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Container, Iterable, Mapping

import msgspec

from propolis.filesystem import acl, attributes
from propolis.filesystem.attributes import ACCESS_LISTS, Attributes
from propolis.filesystem.unkept import Tally, Unkept, as_text, special_kind
from propolis.repository.format import rules
from propolis.repository.format.entries import format_attributes
from propolis.repository.format.text import escape
from propolis.repository.write.intake import NO_ATTRIBUTES
from propolis.repository.write.scan import Found, group_name, user_name

InodeOf = Callable[[str], int | None] | Mapping[str, int]
"""The original's inode for a path relative to the folder; None: the same as the one there; 0: unknown, then inodes
aren't compared."""


class CantKeep(Exception):
    """A file is one that no reader would take back; says why in a few words."""


class Line(msgspec.Struct, gc=False):
    """An entry's line, but for its segments."""

    before: bytes
    after: bytes
    size: int
    inode: int
    has_content: bool
    """It is a file, and not the further name of one."""


class FolderEntries:
    """Makes the lines of one folder's tree."""

    def __init__(
        self,
        root: bytes,
        mark: bytes,
        inode_of: InodeOf | None,
        linked: Container[int] | None,
        unkept: Iterable[Unkept],
    ) -> None:
        """`mark` is the tree's name, escaped. `linked` and `unkept` as `Writer.add_folder` has them."""
        self._root, self._mark = root, mark
        self._inode_of: Callable[[str], int | None] | None = None
        if inode_of is not None:
            self._inode_of = inode_of if callable(inode_of) else functools.partial(_look_up, inode_of)
        self._linked = linked
        self._first_names: dict[tuple[int, int], bytes] = {}
        self._has_attributes = True
        self.tally = Tally(unkept)
        """What is not kept."""
        self.users: dict[str, str] = {}
        """Number → name of users that access lists name; `groups` likewise."""
        self.groups: dict[str, str] = {}

    def line(self, found: Found) -> Line | None:
        """The line of what was found; None when it holds no data and is counted.

        Raises `CantKeep`, or `OSError` when it can't be looked at.
        """
        status, kind, path = found.status, found.kind, found.path
        if kind == b"s":
            self.tally.add(special_kind(status.st_mode), os.fsdecode(path))
            return None
        original = None if self._inode_of is None else self._inode_of(os.fsdecode(path))
        inode = status.st_ino if original is None else original
        size = status.st_size if kind == b"f" else 0
        mode = status.st_mode & 0o7777
        problem = rules.bad_numbers(mode, status.st_uid, status.st_gid, status.st_mtime_ns, size, inode)
        if problem is None and path != b".":
            problem = rules.bad_path(path)
        if problem is not None:
            raise CantKeep(problem)
        extra = b""
        first = (
            self._first_name(found, shares_inode=original is None) if kind == b"f" and status.st_nlink > 1 else None
        )
        if first is not None:
            kind, size, extra = b"h", 0, first
        elif kind == b"l":
            extra = self._target(path)
        after, closed = (NO_ATTRIBUTES, False) if first is not None else self._attributes(path)
        if closed:
            # With a list, the group's bits are not the group's rights: nobody else may have more for want of it.
            mode &= ~0o077
        before = b"%b\t%o\t%b\t%d\t%d\t%d\t%b\t%b\t" % (
            kind,
            mode,
            _owner(status.st_uid, status.st_gid),
            status.st_mtime_ns,
            size,
            inode,
            self._mark,
            escape(path),
        )
        return Line(before, b"\t" + escape(extra) + after, size, inode, kind == b"f")

    def _first_name(self, found: Found, *, shares_inode: bool) -> bytes | None:
        """The first name of a file that has been met under another."""
        status = found.status
        if shares_inode and self._linked is not None and status.st_ino not in self._linked:
            return None  # its other name is the original's
        known = self._first_names.setdefault((status.st_dev, status.st_ino), found.path)
        return None if known is found.path else known

    def _target(self, path: bytes) -> bytes:
        target = os.readlink(self._root + b"/" + path)  # noqa: PTH115 - bytes
        problem = rules.bad_link(target)
        if problem is not None:
            raise CantKeep(problem)
        return target

    def _attributes(self, path: bytes) -> tuple[bytes, bool]:
        """The line's last field, and whether there is an access list that can't be read."""
        if not self._has_attributes:
            return NO_ATTRIBUTES, False
        whole = self._root + b"/" + path
        try:
            if not os.listxattr(whole, follow_symlinks=False):  # nearly always
                return NO_ATTRIBUTES, False
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._has_attributes = False  # nowhere on this file system
            return NO_ATTRIBUTES, False
        found, unkept = attributes.read(whole)
        for name in unkept:
            self.tally.add(f"attributes that can't be kept or read: {os.fsdecode(name)}", os.fsdecode(path))
        return b"\t" + format_attributes(self._fitting(found, path)), attributes.ACCESS_LIST in unkept

    def _fitting(self, found: Attributes, path: bytes) -> Attributes:
        """Those that a reader takes back."""
        kept: Attributes = ()
        for name, value in found:
            if rules.bad_attributes((*kept, (name, value))) is not None:
                self.tally.add(f"attributes that are too large: {os.fsdecode(name)}", os.fsdecode(path))
                continue
            kept = (*kept, (name, value))
            if name in ACCESS_LISTS:
                users, groups = acl.names(value)
                self.users.update((str(number), as_text(user_name(number))) for number in users)
                self.groups.update((str(number), as_text(group_name(number))) for number in groups)
        return kept


@functools.lru_cache(maxsize=4096)
def _owner(uid: int, gid: int) -> bytes:
    """An entry's fields for its owner: numbers, and names on this host."""
    user, group = (escape(name.encode("utf-8", "surrogateescape")) for name in (user_name(uid), group_name(gid)))
    return b"%d\t%d\t%b\t%b" % (uid, gid, user, group)


def _look_up(inodes: Mapping[str, int], path: str) -> int:
    return inodes.get(path, 0)
