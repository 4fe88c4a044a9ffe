"""Where clones lie, how those of an earlier run are found, and how one is removed."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from propolis.clone.mounts import mount_id, mounts_below
from propolis.errors import PreflightError

_PREFIX = ".propolis-"
_ASIDE = ".propolis-aside-"
RESERVE = ".reserve"
"""How the name of a file ends that only reserves space."""

_RUN_ID = re.compile(r"(?!aside-)[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_PLACE = re.compile(r"\.propolis-(?!aside-)[A-Za-z0-9]")


def place(folder: Path, run_id: str) -> Path:
    """Say where a run keeps its throw-away copy of a folder, without making it.

    That is a hidden sibling, `.propolis-<run_id>-<name>`, so that services never meet it. Where the folder is
    a mount or subvolume of its own (a file can't be linked or moved out of it), or its parent can't be
    written, it is `.propolis-<run_id>` inside the folder.
    """
    return _placed(folder, f"{_PREFIX}{_checked(run_id)}")


def aside(folder: Path, run_id: str) -> Path:
    """Say where a run keeps what it *moved* out of a folder: placed like `place`, but never dropped as a leftover.

    `drop` and `leftovers` leave these names alone: what was moved aside may be the only copy there is.
    """
    return _placed(folder, f"{_ASIDE}{_checked(run_id)}")


def is_aside(path: Path) -> bool:
    """Whether a path is named as `aside` names it."""
    return path.name.startswith(_ASIDE)


def names_directly_in(folder: Path, places: Iterable[Path]) -> frozenset[str]:
    """Those of these places that lie directly in a folder, by name: in a mount of its own, a run's own do."""
    real = folder.resolve()
    return frozenset(place.name for place in places if place.parent == real)


def lookalikes(folders: Iterable[Path]) -> list[Path]:
    """Find what is named, in or beside these folders, as runs name what they make there: `OURS` at the beginning.

    Whether a run made it is for its journal to say. A folder that is missing has only its siblings looked at. Raises
    PreflightError if a place can't be read.
    """
    found: set[Path] = set()
    for folder in folders:
        real = folder.resolve()
        for parent, endings in ((real.parent, (f"-{real.name}", f"-{real.name}{RESERVE}")), (real, ("",))):
            try:
                names = [entry.name for entry in parent.iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise PreflightError(
                    f"Can't look for old clones in {parent}: {error.strerror}", next="Run Propolis as root"
                ) from error
            found.update(parent / name for name in names if name.startswith(_PREFIX) and name.endswith(endings))
    return sorted(found)


def drop(path: Path) -> None:
    """Remove a clone, whole or half made. Idempotent; follows no symbolic link.

    Raises PreflightError, with nothing removed, for anything that isn't a clone by its name, isn't a folder,
    or has something mounted below; and if removing fails half-way.
    """
    check_place(path)
    _remove(path)


def _remove(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    mounted = mounts_below(path.parent.resolve() / path.name)
    if not stat.S_ISDIR(kind) or path.is_mount() or mounted:
        raise PreflightError(
            f"{path} is not a plain folder" if not mounted else f"{mounted[0]} is mounted below {path}",
            left="Nothing was removed",
            next="Look at it and remove it by hand",
        )
    try:
        # rmtree works on open folders here, so that a swapped-in symbolic link is not followed.
        shutil.rmtree(path)
    except FileNotFoundError as error:
        if path.exists():
            raise _not_dropped(path, error) from error
    except OSError as error:
        raise _not_dropped(path, error) from error


def drop_aside(path: Path) -> None:
    """Remove for good what was moved aside. Idempotent; follows no symbolic link.

    Raises PreflightError as `drop` does, for anything that isn't named as `aside` names it.
    """
    if not is_aside(path):
        raise PreflightError(
            f"{path} is not a place where data is moved aside",
            left="Nothing was changed",
            next="Remove it by hand if it is not needed",
        )
    _remove(path)


def drop_leftover(path: Path) -> None:
    """Remove what a run that is over left at a path that its journal names. Idempotent.

    What was moved aside stays: it may be the only copy there is. Raises PreflightError as `drop` does.
    """
    if path.name.endswith(RESERVE) and path.is_file() and not path.is_symlink():
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _not_dropped(path, error) from error
    elif _PLACE.match(path.name) and path.is_dir() and not path.is_symlink():
        drop(path)


def check_place(path: Path) -> None:
    """Raise PreflightError unless the path is named as `place` names it."""
    if not _PLACE.match(path.name):
        raise PreflightError(
            f"{path} is not the name of a clone",
            left="Nothing was changed",
            next="Remove it by hand if it is not needed",
        )


def _not_dropped(path: Path, error: OSError) -> PreflightError:
    return PreflightError(
        f"{path}, left behind by a run, could not be removed: {error.strerror} ({error.filename})",
        left="The folder it belongs to was not changed",
        next=f"Remove {path} by hand, or repeat `propolis recover`",
    )


def _checked(run_id: str) -> str:
    if not _RUN_ID.match(run_id):
        raise ValueError(f"not a run's id: {run_id!r}")
    return run_id


def _placed(folder: Path, start: str) -> Path:
    real = folder.resolve()
    parent = real.parent
    try:
        here = (parent.stat().st_dev, mount_id(parent))
        # A folder that is yet to be restored lies where its parent lies.
        together = parent != real and (not real.exists() or (real.stat().st_dev, mount_id(real)) == here)
    except FileNotFoundError as error:
        raise PreflightError(
            f"The folder {parent}, which should contain {real.name}, does not exist",
            left="Nothing was changed",
            next="Create it as the service's package does, or correct the path in the configuration",
        ) from error
    except NotADirectoryError as error:
        raise PreflightError(
            f"{parent}, which should contain {real.name}, is not a folder",
            left="Nothing was changed",
            next="Move it away, or correct the path in the configuration",
        ) from error
    except OSError as error:
        raise PreflightError(
            f"Can't look at {real}: {error.strerror}",
            left="Nothing was changed",
            next="Check the path and run Propolis as root",
        ) from error
    if together and os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
        return parent / f"{start}-{real.name}"
    return real / start
