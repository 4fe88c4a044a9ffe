"""Walks a folder in the manifest's order."""

from __future__ import annotations

import functools
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from operator import attrgetter

import msgspec

Exclude = Callable[[str], bool]
"""Whether to leave out a path relative to the folder, and all below it."""


class Found(msgspec.Struct):
    """One directory, file or link."""

    kind: bytes
    """`d`, `f` or `l`"""
    path: bytes
    """Relative to the folder; `.` is the folder itself."""
    status: os.stat_result


def walk(folder: bytes, exclude: Exclude | None) -> Iterator[Found]:
    """The folder and all in it, sorted so that a directory comes right before what it holds.

    Sockets, pipes and devices are passed over: they hold no data. Raises `OSError` for what can't be listed.
    """
    yield Found(b"d", b".", os.lstat(folder))
    stack = [(b"", _children(folder))]
    while stack:
        prefix, entries = stack[-1]
        for entry in entries:
            path = prefix + entry.name
            if exclude is not None and exclude(os.fsdecode(path)):
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                yield Found(b"f", path, status)
            elif stat.S_ISDIR(status.st_mode):
                yield Found(b"d", path, status)
                stack.append((path + b"/", _children(entry.path)))
                break
            elif stat.S_ISLNK(status.st_mode):
                yield Found(b"l", path, status)
        else:
            stack.pop()


def _children(folder: bytes) -> Iterator[os.DirEntry[bytes]]:
    with os.scandir(folder) as entries:
        return iter(sorted(entries, key=attrgetter("name")))


@functools.lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    """The user's name on this host, empty when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


@functools.lru_cache(maxsize=4096)
def group_name(gid: int) -> str:
    """The group's name on this host, empty when it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
