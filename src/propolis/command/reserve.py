"""Space reserved for services to start in: without it, a disk that fills up meanwhile would keep TheHive down."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from propolis import clone
from propolis.command.context import Context
from propolis.errors import PreflightError
from propolis.run import Results, Step
from propolis.stack.stack import folders

RESERVE_BYTES = 128 * 2**20
"""Cassandra preallocates two commit log segments of 32 MiB when it starts; the rest is for logs and the index."""


class ReserveSpace(Step[Context, None], frozen=True, kw_only=True, tag="reserve-space"):
    """Reserves some bytes on each filesystem that services write to; `files` are what takes them.

    It comes right after the promise to bring services back, so its undo frees the bytes right before that promise is
    kept.
    """

    turn = "reserve"

    files: tuple[str, ...]

    def _title(self) -> str:
        return f"reserve {RESERVE_BYTES // 2**20} MiB so that services can start even if the disk fills up"

    def do(self, context: Context, results: Results) -> None:
        """Allocate the files."""
        for name in self.files:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(fd, 0, RESERVE_BYTES)
            except OSError as error:
                raise PreflightError(
                    f"{RESERVE_BYTES // 2**20} MiB can't be reserved in {Path(name).parent}: {error.strerror}",
                    left="No service was stopped",
                    next="Free some space on that filesystem",
                ) from error
            finally:
                os.close(fd)

    def undo(self, context: Context) -> None:
        """Free them."""
        release(self.files)


class ReleaseSpace(Step[Context, None], frozen=True, kw_only=True, tag="release-space"):
    """Gives the bytes back: the services run."""

    turn = "release"

    files: tuple[str, ...]

    def _title(self) -> str:
        return "release the reserved space"

    def do(self, context: Context, results: Results) -> None:
        """Free them."""
        release(self.files)


def reserve_files(context: Context) -> tuple[str, ...]:
    """One file for each filesystem that the stack's folders lie on."""
    found: dict[int, str] = {}
    for tree in folders(context.config):
        if tree.path.is_dir():
            place = clone.place(tree.path, context.run_id)
            found.setdefault(place.parent.stat().st_dev, f"{place}{clone.RESERVE}")
    return tuple(found.values())


def release(files: Iterable[str]) -> None:
    """Remove the files; idempotent."""
    for name in files:
        Path(name).unlink(missing_ok=True)
