"""Large reads and writes that pass the system's page cache by (`O_DIRECT`).

A backup and a restore touch every byte once. Through the page cache that costs a copy of each, and pushes out of
memory what the services have in use. Where a file system can't do without (or a buffer doesn't lie on a page's
boundary), the same goes through the cache after all, and is then taken out of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os

LEAST = 4 << 20
"""Bytes from which on it pays: below, the cache's reading ahead and gathering of writes are worth more."""
_PAGE = mmap.PAGESIZE
_HUGE = 2 << 20


def buffer(size: int) -> memoryview:
    """Room for so many bytes, which takes up memory only where it is written to, in huge pages if there are any.

    A disk is given one address a page: with pages of 4 KiB, their number rather than the disk may set the pace.
    """
    room = (-(-size // _HUGE) + 1) * _HUGE
    memory = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    start = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % _HUGE
    return memoryview(memory)[start : start + max(size, 1)]


def whole_pages(size: int) -> int:
    """`size` rounded up to whole pages: the room that a direct read of so many bytes needs."""
    return -(-size // _PAGE) * _PAGE


def read(file: int, target: memoryview, size: int, offset: int = 0, *, whole: int = 0) -> int:
    """Read `size` bytes at `offset` into `target`; the number read, less when the file ended.

    `target` may be longer, then the last page is read directly too: what follows the bytes counted is undefined.
    `whole` tells of how many bytes these are a part, all of which will be read. Raises `OSError`.
    """
    done = 0
    pays = max(size, whole) >= LEAST
    if pays:
        room = min(len(target), whole_pages(size)) // _PAGE * _PAGE
        with _Direct(file) as direct:
            while direct.on and done < min(room, size):
                try:
                    count = os.preadv(file, [target[done:room]], offset + done)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    break
                done += count
                if count % _PAGE or not count:
                    break  # the file's end, most likely; what follows tells
    cached = done = min(done, size)
    while done < size:
        count = os.preadv(file, [target[done:size]], offset + done)
        if not count:
            break
        done += count
    if pays and cached < done:
        os.posix_fadvise(file, offset + cached, done - cached, os.POSIX_FADV_DONTNEED)
    return done


def write(file: int, data: memoryview, offset: int = 0) -> None:
    """Write all of `data` at `offset`; raises `OSError`. As any write it is durable only after a sync."""
    done = 0
    if len(data) >= LEAST:
        whole = len(data) // _PAGE * _PAGE
        with _Direct(file) as direct:
            while direct.on and done < whole and not done % _PAGE:
                try:
                    done += os.pwrite(file, data[done:whole], offset + done)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    break
    cached = done
    while done < len(data):
        done += os.pwrite(file, data[done:], offset + done)
    if len(data) >= LEAST and cached < done:
        # Begins the writing back.
        os.posix_fadvise(file, offset + cached, done - cached, os.POSIX_FADV_DONTNEED)


class _Direct:
    """Switches an open file to direct access for a `with` block."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._flags = fcntl.fcntl(file, fcntl.F_GETFL)
        self.on = False
        """Whether the file system allows it."""

    def __enter__(self) -> _Direct:
        try:
            fcntl.fcntl(self._file, fcntl.F_SETFL, self._flags | os.O_DIRECT)
            self.on = True
        except OSError:
            self.on = False
        return self

    def __exit__(self, *_: object) -> None:
        if self.on:
            fcntl.fcntl(self._file, fcntl.F_SETFL, self._flags)
