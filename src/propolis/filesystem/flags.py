"""Flags of files that keep even root from moving or removing them: immutable and append-only (chattr(1))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FS_IOC_GETFLAGS: Final = 0x80006601 | struct.calcsize("l") << 16
"""ioctl_iflags(2): `_IOR('f', 1, long)`."""

_NAMES: Final = {0x10: "immutable (chattr +i)", 0x20: "append-only (chattr +a)"}
_NONE = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
"""What a file system without such flags answers."""

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def fixed(path: Path) -> str | None:
    """How a file or folder is kept from being moved or removed; None if it isn't. Raises `OSError`."""
    return _fixed(os.open(path, _READ & ~os.O_NOFOLLOW))


def fixed_below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file and folder in or below a folder, itself included, that is kept so. Raises `OSError`.

    Links, sockets, pipes and devices have no such flags. What goes away meanwhile is left out.
    """
    waiting = [folder]
    while waiting:
        inside = waiting.pop()
        try:
            found = fixed(inside)
            if found is not None:
                yield inside, found
            with os.scandir(inside) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(inside / entry.name)
                    elif entry.is_file(follow_symlinks=False) and (found := _of_file(entry.path)) is not None:
                        yield inside / entry.name, found
        except (FileNotFoundError, NotADirectoryError):
            if inside == folder:
                raise


def _of_file(path: str) -> str | None:
    try:
        return _fixed(os.open(path, _READ))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # gone, or another kind of file now
            return None
        raise


def _fixed(file: int) -> str | None:
    try:
        answer = fcntl.ioctl(file, FS_IOC_GETFLAGS, bytes(struct.calcsize("l")))
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise
    finally:
        os.close(file)
    flags = int.from_bytes(answer[:4], "little" if struct.pack("=H", 1) == b"\1\0" else "big")
    return next((name for flag, name in _NAMES.items() if flags & flag), None)
