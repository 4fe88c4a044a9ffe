"""Walks a folder in the manifest's order."""

from __future__ import annotations

import contextlib
import functools
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator

import msgspec

from propolis.filesystem import holes

Exclude = Callable[[str], bool]
"""Whether to leave out a path relative to the folder, and all below it."""
Failed = Callable[[bytes, OSError], None]
"""Told a path relative to the folder (empty: the folder itself) that can't be looked at, nor what is below."""


class Found(msgspec.Struct):
    """One directory, file or link."""

    kind: bytes
    """`d`, `f` or `l`; `s` for what holds no data: sockets, pipes, devices"""
    path: bytes
    """Relative to the folder; `.` is the folder itself."""
    status: os.stat_result


def walk(folder: bytes, exclude: Exclude | None, failed: Failed | None = None) -> Iterator[Found]:
    """The folder and all in it, sorted so that a directory comes right before what it holds.

    `failed` is told what can't be looked at, and the rest is walked all the same; without it, and where the folder
    itself can't be looked at, `OSError` is raised.
    """
    yield Found(b"d", b".", os.lstat(folder))
    top = _names(folder, b"", failed)
    stack = [] if top is None else [(b"", top)]
    while stack:
        prefix, names = stack[-1]
        # From its own descriptor the system finds a file faster than by its whole path.
        with contextlib.ExitStack() as closing:
            try:
                here = closing.enter_context(_opened(folder + b"/" + prefix))
            except OSError as error:
                _tell(failed, prefix[:-1], error)
                stack.pop()
                continue
            for name in names:
                path = prefix + name
                if exclude is not None and exclude(os.fsdecode(path)):
                    continue
                try:
                    status = os.stat(name, dir_fd=here, follow_symlinks=False)
                except OSError as error:
                    error.filename = folder + b"/" + path
                    _tell(failed, path, error)
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield Found(b"f", path, status)
                elif stat.S_ISDIR(status.st_mode):
                    yield Found(b"d", path, status)
                    inner = _names(folder, path, failed)
                    if inner is not None:
                        stack.append((path + b"/", inner))
                        break  # and goes on here afterwards
                else:
                    yield Found(b"l" if stat.S_ISLNK(status.st_mode) else b"s", path, status)
            else:
                stack.pop()


def cut(file: int | bytes, status: os.stat_result, step: int) -> Iterator[tuple[int, int, bool]]:
    """How a file is cut: (offset, length, whether it is a hole), in order, in pieces of at most `step` bytes of data.

    It is opened only to look for holes, if it may have any. Raises `OSError`.
    """
    size = status.st_size
    at = 0
    for begin, end in _data(file, size) if holes.may_have(status) else [(0, size)]:
        if begin > at:
            yield at, begin - at, True
        for offset in range(begin, end, step):
            yield offset, min(step, end - offset), False
        at = end
    if at < size:
        yield at, size - at, True


def _data(file: int | bytes, size: int) -> list[tuple[int, int]]:
    if isinstance(file, int):
        return holes.data(file, size)
    opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return holes.data(opened, size)
    finally:
        os.close(opened)


def _names(folder: bytes, path: bytes, failed: Failed | None) -> Iterator[bytes] | None:
    try:
        return iter(sorted(os.listdir(folder + b"/" + path)))  # noqa: PTH208 - bytes
    except OSError as error:
        _tell(failed, path, error)
        return None


def _tell(failed: Failed | None, path: bytes, error: OSError) -> None:
    if failed is None:
        raise error
    failed(path, error)


@contextlib.contextmanager
def _opened(folder: bytes) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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
