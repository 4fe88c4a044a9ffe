"""Gives what is whole its name, and never replaces anything that has that name already."""

from __future__ import annotations

import ctypes
import errno
import os
import stat

_NOREPLACE = 1
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
"""What a kernel or a file system says that knows no rename without replacing."""
_libc = ctypes.CDLL(None, use_errno=True)


def move_new(source: int, name: bytes, target: int, new: bytes) -> None:
    """Move an entry of one open folder into another, durable after a sync of both.

    Raises `FileExistsError` when the name is taken, and other `OSError`s; then nothing is moved.
    """
    if _libc.renameat2(source, name, target, new, _NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        _move_without_help(source, name, target, new)
        return
    raise OSError(number, os.strerror(number), os.fsdecode(new))


def is_folder(folder: int, name: bytes) -> bool:
    """Whether that name in an open folder is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _move_without_help(source: int, name: bytes, target: int, new: bytes) -> None:
    if is_folder(source, name):
        os.mkdir(new, 0o700, dir_fd=target)  # fails when there is anything; a folder replaces an empty one only
        os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)
        return
    os.link(name, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)
