"""Rules of the folders that a restore replaces: can what is in them be moved aside, and new content be moved in.

A restore moves the children of folders while services are down. What would fail then is found before: tried with a
little folder of its own, where that does no harm, and looked up where trying would.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from propolis import clone
from propolis.checks.look import Look, Target
from propolis.clone.mounts import mounts_below
from propolis.filesystem.flags import fixed, fixed_below
from propolis.stack.rules import Check
from propolis.stack.stack import folders

NAME = "folders to replace"
_NAMED = 3
"""How many files are named; of others their number is told."""


@dataclass(frozen=True)
class _Obstacle:
    what: str
    hint: str


def replaceable(look: Look) -> Iterator[Check]:
    """Whether every folder that a restore replaces can be."""
    targets = list(look.targets if look.targets is not None else _all(look))
    obstacles = [obstacle for target in targets for obstacle in _obstacles(target)]
    for obstacle in obstacles:
        yield Check(NAME, "fail", obstacle.what, obstacle.hint)
    if not obstacles:
        yield Check(NAME, "ok", f"the content of all {len(targets)} folders can be moved")


def trial_places(folder: Path, run: str) -> tuple[Path, Path]:
    """Where it is tried: a folder beside the target, and a name in the target under which it is moved there.

    Both are names of the run's own. Raises PreflightError if the folder can't be looked at.
    """
    beside = clone.place(folder, run)
    return beside, folder.resolve() / f"{beside.name}.moved"


def drop_trials(target: Target) -> None:
    """Remove what trying left; idempotent. Raises PreflightError."""
    clone.drop(target.inside)
    clone.drop(target.beside)


def _all(look: Look) -> Iterator[Target]:
    run = f"trial{secrets.token_hex(6)}"
    paths = [tree.path for tree in folders(look.config)]
    if look.config.cassandra is not None:
        paths.append(look.config.cassandra.saved_caches)
    for path in paths:
        if path.is_dir():  # of others another rule says what they are
            yield Target(path, *trial_places(path, run))


def _obstacles(target: Target) -> Iterator[_Obstacle]:
    folder = target.folder
    if not folder.exists():
        if folder.is_symlink():
            yield _Obstacle(f"{folder} is a dangling symbolic link", "Correct or remove it")
            return
    elif not folder.is_dir():
        yield _Obstacle(f"{folder} is in the way: it is not a folder", "Move it away")
        return
    try:
        found = list(_kept_in_place(target))
    except OSError as error:
        yield _Obstacle(f"{error.filename or folder}: {error.strerror}", "Run Propolis as root")
        return
    # Where something is append-only, trying would leave a folder behind that can't be removed.
    yield from found or _tried(target)


def _kept_in_place(target: Target) -> Iterator[_Obstacle]:
    parent = target.beside.parent
    if os.statvfs(parent).f_flag & os.ST_RDONLY:
        yield _Obstacle(f"the filesystem of {target.folder} is read-only", f"Remount it read-write: {parent}")
        return
    real = target.folder.resolve()
    if parent != real and (how := fixed(parent)) is not None:
        yield _Obstacle(f"{parent} is {how}", f"Run chattr -i -a {parent}")
    if not real.exists():
        return
    for point in mounts_below(real):
        hint = "Unmount it for the restore, or list it in propolis.yaml as a separate folder"
        yield _Obstacle(f"something is mounted at {point}, below {target.folder}: it can't be moved", hint)
    kept = list(fixed_below(real))
    for path, how in kept[:_NAMED]:
        yield _Obstacle(f"{path} is {how}", f"Run chattr -R -i -a {real}")
    if len(kept) > _NAMED:
        yield _Obstacle(f"{len(kept) - _NAMED} more files in {real} are immutable or append-only", "")
    yield from _sticky(real)


def _sticky(real: Path) -> Iterator[_Obstacle]:
    """In a sticky folder of somebody else's, only root moves other people's files."""
    user, status = os.geteuid(), real.stat()
    if user == 0 or not status.st_mode & stat.S_ISVTX or status.st_uid == user:
        return
    with os.scandir(real) as entries:
        others = [entry.name for entry in entries if entry.stat(follow_symlinks=False).st_uid != user]
    if others:
        yield _Obstacle(f"{real} is sticky, and {others[0]} in it belongs to another user", "Run Propolis as root")


def _tried(target: Target) -> Iterator[_Obstacle]:
    """Move a little folder into the target and out again, as the restore will."""
    drop_trials(target)
    moved = target.beside / "moved"
    try:
        target.beside.mkdir(mode=0o700)
        moved.mkdir()
        (moved / "file").write_bytes(b"trial")
        if target.folder.is_dir():
            moved.rename(target.inside)
            target.inside.rename(moved)
    except OSError as error:
        yield _Obstacle(
            f"nothing can be moved into {target.folder} from {target.beside.parent}: {error.strerror}",
            "Run Propolis as root, on a writable filesystem",
        )
    finally:
        drop_trials(target)
