"""One file from one open folder into another: shared, linked or really copied.

Everything is relative to open folders and follows no symbolic link, so that the service's user can't make
Propolis, which runs as root, read or write elsewhere.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from threading import Event
from typing import Final

from propolis.filesystem import acl, attributes, holes
from propolis.filesystem.unkept import Tally


class Changed(Exception):
    """A file was written to while it was copied: its service isn't stopped."""


FICLONE: Final = 0x40049409
"""ioctl_ficlone(2): `_IOW(0x94, 9, int)`, the same on every architecture that Linux gives a generic ioctl layout."""

_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV, errno.ETXTBSY, errno.ENOTTY, errno.ENOSYS})
_NO_LINK = frozenset({errno.EPERM, errno.EMLINK})
_NO_COPY_RANGE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV, errno.ENOSYS})
_CHUNK = 64 << 20
"""Bytes per system call: an interrupt is noticed between two."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def link(name: str, source: int, target: int) -> bool:
    """Hard-link a file between two open folders; False where this one file can't be linked.

    That is so for a file with the immutable attribute (chattr +i) and one that has all the links it can have.
    """
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def reflink(path: str, source: int, target: int, original: os.stat_result, tally: Tally) -> bool:
    """Make an independent file that shares its blocks with the original; False where this one can't be shared.

    That is so for a file whose filesystem flags differ from the new one's, such as `chattr +C` on btrfs.
    `path` is the file's in the cloned folder, `source` and `target` the open folders that hold it.
    """
    name = path.rpartition("/")[2]
    reader = os.open(name, _READ, dir_fd=source)
    try:
        writer = os.open(name, _MAKE, 0o600, dir_fd=target)
        try:
            fcntl.ioctl(writer, FICLONE, reader)
            dress(writer, reader, original, path, tally)
        except OSError as error:
            os.unlink(name, dir_fd=target)
            if error.errno in _NO_REFLINK:
                return False
            raise
        finally:
            os.close(writer)
    finally:
        os.close(reader)
    return True


def link_within(first: str, root: int, name: str, target: int) -> None:
    """Give a file of the clone, by its path below `root`, a further name in an open folder."""
    os.link(first, name, src_dir_fd=root, dst_dir_fd=target, follow_symlinks=False)


def copy(path: str, source: int, target: int, stop: Event, tally: Tally) -> int:
    """Copy a file's bytes, owner, mode, times and attributes; return how many bytes. Holes stay holes.

    Gives up in the middle once `stop` is set. Raises Changed if the file is written to meanwhile.
    """
    name = path.rpartition("/")[2]
    reader = os.open(name, _READ, dir_fd=source)
    try:
        before = os.fstat(reader)
        writer = os.open(name, _MAKE, 0o600, dir_fd=target)
        try:
            copied, whole = _pour_all(reader, writer, before, stop)
            if stop.is_set():
                return copied
            after = os.fstat(reader)
            if not whole or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise Changed(path)
            dress(writer, reader, before, path, tally)
        finally:
            os.close(writer)
    finally:
        os.close(reader)
    return copied


def symlink(path: str, source: int, target: int, original: os.stat_result, tally: Tally) -> None:
    """Make the same symbolic link, with its owner, times and attributes."""
    name = path.rpartition("/")[2]
    os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    os.chown(name, original.st_uid, original.st_gid, dir_fd=target, follow_symlinks=False)
    # A link can't be opened; its folder can.
    old, new = (os.fsencode(f"/proc/self/fd/{folder}/{name}") for folder in (source, target))
    _dress_with(_attributes(old, path, tally), new, path, tally)
    times = (original.st_atime_ns, original.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def dress(fd: int, source: int, original: os.stat_result, path: str, tally: Tally) -> None:
    """Give an open file or folder the owner, mode, times and attributes of its original, which is open, too."""
    # In this order: a change of owner clears setuid bits and capabilities, and all of it counts as a change.
    os.fchown(fd, original.st_uid, original.st_gid)
    found = _attributes(source, path, tally)
    mode = stat.S_IMODE(original.st_mode)
    if attributes.ACCESS_LIST in _dress_with(found, fd, path, tally):
        mode = acl.mode_without(dict(found)[attributes.ACCESS_LIST], mode)
    os.fchmod(fd, mode)
    os.utime(fd, ns=(original.st_atime_ns, original.st_mtime_ns))


def _attributes(source: int | bytes, path: str, tally: Tally) -> attributes.Attributes:
    try:
        found, unkept = attributes.read(source)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return ()
        raise
    for attribute in unkept:
        tally.add(f"attributes that can't be kept or read: {os.fsdecode(attribute)}", path)
    return found


def _dress_with(found: attributes.Attributes, target: int | bytes, path: str, tally: Tally) -> list[bytes]:
    """Give a file attributes; those that it can't have, which are counted."""
    refused = attributes.write(target, found) if found else []
    for attribute in refused:
        tally.add(f"attributes that a clone can't have: {os.fsdecode(attribute)}", path)
    return refused


def _pour_all(reader: int, writer: int, before: os.stat_result, stop: Event) -> tuple[int, bool]:
    """Copy all data of a file; the number of bytes, and whether that is all there was."""
    if not holes.may_have(before):
        copied = _pour(reader, writer, stop)
        return copied, copied == before.st_size
    copied = 0
    whole = True
    for begin, end in holes.data(reader, before.st_size):
        os.lseek(reader, begin, os.SEEK_SET)
        os.lseek(writer, begin, os.SEEK_SET)
        moved = _pour(reader, writer, stop, end - begin)
        whole = whole and moved == end - begin
        copied += moved
    os.ftruncate(writer, before.st_size)
    return copied, whole


def _pour(reader: int, writer: int, stop: Event, length: int = 1 << 63) -> int:
    """Copy `length` bytes, or all that follow, from where both files stand."""
    copied = 0
    move = _in_kernel
    while copied < length and not stop.is_set():
        try:
            moved = move(reader, writer, min(_CHUNK, length - copied))
        except OSError as error:
            if move is _send or error.errno not in _NO_COPY_RANGE:
                raise
            move = _send
            continue
        if not moved:
            break
        copied += moved
    return copied


def _in_kernel(reader: int, writer: int, size: int) -> int:
    return os.copy_file_range(reader, writer, size)


def _send(reader: int, writer: int, size: int) -> int:
    return os.sendfile(writer, reader, None, size)
