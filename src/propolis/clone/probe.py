"""Which clone method a folder's filesystem offers: tried, not guessed from its name."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from pathlib import Path

from propolis.clone import transfer
from propolis.clone.base import Method
from propolis.clone.place import drop, place
from propolis.errors import PreflightError
from propolis.filesystem.unkept import Tally

_SAMPLE = b"propolis" * 1024
"""Two blocks: shorter content may lie inside the inode and so be no proof."""


def probe(folder: Path, trial: Path | None = None) -> Method:
    """Try the methods with a little file where the clone would be placed; return the best that works.

    `trial`, a place that the run's journal names already, is where that is tried. Raises PreflightError if nothing
    can be written there.
    """
    trial = trial or place(folder, f"trial{secrets.token_hex(6)}")
    try:
        drop(trial)
        trial.mkdir(mode=0o700)
        try:
            return _try(trial, folder)
        finally:
            drop(trial)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise PreflightError(
            f"No clone of {folder} can be made in {trial.parent}: {error.strerror}",
            left="Nothing was changed",
            next="Free some space there" if full else "Run Propolis as root, on a writable filesystem",
        ) from error


def settle(folder: Path) -> None:
    """Write what the folder's filesystem still holds in memory to disk, while services still run.

    A reflink waits until the original's data is on disk: what is written ahead isn't waited for in downtime.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise PreflightError(
                f"The filesystem of {folder} can't write to its disk: {os.strerror(number)}",
                left="Nothing was changed",
                next="Check the system log for disk errors",
            )
    finally:
        os.close(fd)


def _try(trial: Path, folder: Path) -> Method:
    source, target = trial / "original", trial / "clone"
    source.mkdir()
    target.mkdir()
    (source / "file").write_bytes(_SAMPLE)
    from_fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    into_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if transfer.reflink("file", from_fd, into_fd, (source / "file").stat(), Tally()):
            if (target / "file").read_bytes() == _SAMPLE:
                return Method.REFLINK
            (target / "file").unlink()
        # Without being root, the kernel may refuse to link another user's files (fs.protected_hardlinks).
        if (
            os.geteuid() in (0, folder.stat().st_uid)
            and transfer.link("file", from_fd, into_fd)
            and (target / "file").samefile(source / "file")
        ):
            return Method.HARDLINK
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EXDEV, errno.ENOSYS):
            raise
    finally:
        os.close(from_fd)
        os.close(into_fd)
    return Method.COPY
