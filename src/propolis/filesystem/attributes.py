"""Extended attributes of files, access lists among them, which Linux keeps as attributes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

ACCESS_LIST = b"system.posix_acl_access"
DEFAULT_LIST = b"system.posix_acl_default"
ACCESS_LISTS = (ACCESS_LIST, DEFAULT_LIST)
SELINUX = b"security.selinux"
_SPACES = (b"user.", b"trusted.", b"security.")

Attributes = tuple[tuple[bytes, bytes], ...]
"""Names and values, sorted by name."""

REFUSED = frozenset(
    {
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EACCES,
        errno.EINVAL,
        errno.ENOSPC,
        errno.E2BIG,
        errno.ERANGE,
        errno.ENODATA,
    }
)
"""What a file system says of an attribute that it won't give or take; anything else is a failure of its own."""


def is_kept(name: bytes) -> bool:
    """Whether an attribute of this name means the same elsewhere; others are of one file system alone."""
    return name in ACCESS_LISTS or name.startswith(_SPACES)


def read_any(file: bytes | int) -> Attributes:
    """The attributes that can be kept; none where the file system has none at all. Raises `OSError`."""
    try:
        return read(file)[0]
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return ()
        raise


def read(file: bytes | int) -> tuple[Attributes, list[bytes]]:
    """The attributes of a path (a link's own) or an open file, and the names of those that can't be kept.

    Raises `OSError`, with `EOPNOTSUPP` where the file system has none at all.
    """
    follow = isinstance(file, int)
    names = os.listxattr(file, follow_symlinks=follow)
    if not names:  # nearly always
        return (), []
    found: list[tuple[bytes, bytes]] = []
    unkept = []
    for name in sorted(map(os.fsencode, names)):
        if not is_kept(name):
            unkept.append(name)
            continue
        try:
            found.append((name, os.getxattr(file, name, follow_symlinks=follow)))
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            if error.errno != errno.ENODATA:  # that one has just been removed
                unkept.append(name)
    return tuple(found), unkept


def write(file: int | bytes, attributes: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Give an open file, or that of a path (a link itself), attributes; the names of those that it can't have."""
    refused = []
    for name, value in attributes:
        try:
            os.setxattr(file, name, value, follow_symlinks=isinstance(file, int))
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            refused.append(name)
    return refused


def replace(file: int, attributes: Attributes) -> list[bytes]:
    """Give an open file these attributes instead of access lists and attributes of users that it has; see `write`."""
    wanted = {name for name, _ in attributes}
    drop_lists(file)
    for name, _ in read_any(file):
        if name.startswith(b"user.") and name not in wanted:
            os.removexattr(file, name)
    return write(file, attributes)


def drop_lists(file: int) -> None:
    """Take access lists off an open file or folder: those that it inherited from the folder it was made in."""
    for name in ACCESS_LISTS:
        try:
            os.removexattr(file, name)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.EACCES):
                raise
