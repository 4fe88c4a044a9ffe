"""What a kept folder occupies."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 512


@dataclass(frozen=True)
class Occupied:
    """Files in a folder, and the bytes that they and their folders take on the disk."""

    files: int
    bytes: int


def occupied(folder: Path, leave_out: str = "") -> Occupied:
    """Add up what a folder occupies, without a name directly in it; hard links count once. Raises OSError."""
    files = taken = 0
    seen: set[tuple[int, int]] = set()
    waiting = [str(folder)]
    while waiting:
        current = waiting.pop()
        with os.scandir(current) as entries:
            for entry in entries:
                if current == str(folder) and entry.name == leave_out:
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)
                else:
                    files += 1
                    if status.st_nlink > 1:
                        if (status.st_dev, status.st_ino) in seen:
                            continue
                        seen.add((status.st_dev, status.st_ino))
                taken += status.st_blocks * _BLOCK
    return Occupied(files, taken)
