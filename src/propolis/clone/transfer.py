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


def reflink(name: str, source: int, target: int, original: os.stat_result) -> bool:
    """Make an independent file that shares its blocks with the original; False where this one can't be shared.

    That is so for a file whose filesystem flags differ from the new one's, such as `chattr +C` on btrfs.
    """
    reader = os.open(name, _READ, dir_fd=source)
    try:
        writer = os.open(name, _MAKE, 0o600, dir_fd=target)
        try:
            fcntl.ioctl(writer, FICLONE, reader)
            dress(writer, original)
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


def copy(name: str, source: int, target: int, stop: Event) -> int:
    """Copy a file's bytes, owner, mode and times; return how many bytes.

    Gives up in the middle once `stop` is set. Raises Changed if the file is written to meanwhile.
    """
    reader = os.open(name, _READ, dir_fd=source)
    try:
        before = os.fstat(reader)
        writer = os.open(name, _MAKE, 0o600, dir_fd=target)
        try:
            copied = _pour(reader, writer, stop)
            if stop.is_set():
                return copied
            after = os.fstat(reader)
            if (copied, before.st_size, before.st_mtime_ns) != (before.st_size, after.st_size, after.st_mtime_ns):
                raise Changed(name)
            dress(writer, before)
        finally:
            os.close(writer)
    finally:
        os.close(reader)
    return copied


def symlink(name: str, source: int, target: int, original: os.stat_result) -> None:
    """Make the same symbolic link, with its owner and times."""
    os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    os.chown(name, original.st_uid, original.st_gid, dir_fd=target, follow_symlinks=False)
    times = (original.st_atime_ns, original.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def dress(fd: int, original: os.stat_result) -> None:
    """Give an open file or folder the owner, mode and times of its original."""
    # In this order: a change of owner clears setuid bits, and all of it counts as a change.
    os.fchown(fd, original.st_uid, original.st_gid)
    os.fchmod(fd, stat.S_IMODE(original.st_mode))
    os.utime(fd, ns=(original.st_atime_ns, original.st_mtime_ns))


def _pour(reader: int, writer: int, stop: Event) -> int:
    copied = 0
    move = _in_kernel
    while not stop.is_set():
        try:
            moved = move(reader, writer)
        except OSError as error:
            if move is _send or error.errno not in _NO_COPY_RANGE:
                raise
            move = _send
            continue
        if not moved:
            break
        copied += moved
    return copied


def _in_kernel(reader: int, writer: int) -> int:
    return os.copy_file_range(reader, writer, _CHUNK)


def _send(reader: int, writer: int) -> int:
    return os.sendfile(writer, reader, None, _CHUNK)
