"""Holes of sparse files: ranges that take no room on the disk and read as zeros."""

from __future__ import annotations

import errno
import os

LEAST = 64 << 10
"""Bytes. Smaller holes are read as zeros: to keep them takes more than it saves."""
MOST = 1 << 16
"""Holes of one file: of more, the smaller ones are read as zeros."""


def may_have(status: os.stat_result) -> bool:
    """Whether a file takes less room than its size; compressed ones do, too."""
    return status.st_size >= LEAST and status.st_blocks * 512 < status.st_size


def data(file: int, size: int) -> list[tuple[int, int]]:
    """Where an open file of that size has data: (begin, end) in bytes, in order, with holes between.

    Raises `OSError`. Leaves the file's position somewhere.
    """
    ranges: list[tuple[int, int]] = []
    end = 0
    while end < size:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data from here on
                break
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that knows no holes
                return [(0, size)]
            raise
        if begin >= size:
            break
        end = min(os.lseek(file, begin, os.SEEK_HOLE), size)
        ranges.append((begin, end))
    return _with_large_holes(ranges, size)


def _with_large_holes(ranges: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    least = LEAST
    while True:
        kept: list[tuple[int, int]] = []
        for begin, end in ranges:
            before = kept[-1][1] if kept else 0
            if begin - before >= least:
                kept.append((begin, end))
            elif kept:
                kept[-1] = (kept[-1][0], end)
            else:
                kept.append((0, end))
        if kept and 0 < size - kept[-1][1] < least:
            kept[-1] = (kept[-1][0], size)
        if not kept and 0 < size < least:
            return [(0, size)]
        if len(kept) <= MOST:
            return kept
        least *= 2
