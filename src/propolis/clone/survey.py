"""What a clone would take, counted while services still run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from propolis.clone.base import Immutable, KeptEmpty, Method, Survey, none_kept_empty
from propolis.clone.probe import probe
from propolis.clone.tree import refuse_mounts
from propolis.errors import PreflightError


def survey(
    folder: Path,
    immutable: Immutable,
    method: Method | None = None,
    *,
    leave_out: frozenset[str] = frozenset(),
    kept_empty: KeptEmpty = none_kept_empty,
    trial: Path | None = None,
) -> Survey:
    """Count a folder's files and those bytes that a clone would really copy while its service is down.

    Files that come and go meanwhile are no error: the service runs. Raises PreflightError if the folder can't be
    read, or holds a mount. `leave_out` as for `clone`, `trial` as for `probe`.
    """
    real = folder.resolve()
    refuse_mounts(real)
    method = method or probe(real, trial)
    files = total = copied = 0
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(real / prefix) as entries:
                for entry in entries if kept_empty(prefix[:-1]) is None else ():
                    if not prefix and entry.name in leave_out:
                        continue
                    path = prefix + entry.name
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(f"{path}/")
                    elif stat.S_ISREG(found.st_mode):
                        files += 1
                        total += found.st_size
                        if method is Method.COPY or (method is Method.HARDLINK and not immutable(path)):
                            # Holes are not copied.
                            copied += min(found.st_size, found.st_blocks * 512)
                    elif stat.S_ISLNK(found.st_mode):
                        files += 1
        except FileNotFoundError as error:
            if not prefix:
                raise _unreadable(real, error) from error
        except OSError as error:
            raise _unreadable(real / prefix, error) from error
    space = os.statvfs(real)
    return Survey(real, method, files, total, copied, space.f_bavail * space.f_frsize)


def _unreadable(path: Path, error: OSError) -> PreflightError:
    return PreflightError(
        f"{path} can't be read: {error.strerror}",
        left="Nothing was changed",
        next="Check the path and run Propolis as root",
    )
