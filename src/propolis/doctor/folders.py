"""Checks of the stack's folders: readable, whole, owned alike, with room for a clone and a restore."""

from __future__ import annotations

import os
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from propolis import clone
from propolis.clone import Method, Survey
from propolis.command.leftovers import STRANGER, find
from propolis.config.schema import Config
from propolis.doctor.model import Check
from propolis.errors import PropolisError
from propolis.stack.model import Tree, trees

_SPARE = 64 * 1024**2
"""Bytes that must be left besides what is needed: services write while a clone lies there."""


def readable(config: Config) -> Iterator[Check]:
    """Whether each folder is there, can be read, and is owned by one user throughout its top."""
    for tree, path in _folders(config):
        yield _readable(tree.name, path)


def _readable(name: str, path: Path) -> Check:
    try:
        if not path.is_dir():
            return Check(name, "fail", f"{path} is not a folder", "Set the right path in propolis.yaml")
        owner = path.stat().st_uid
        others = []
        with os.scandir(path) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and not os.access(entry.path, os.R_OK | os.X_OK):
                    return Check(name, "fail", f"{entry.path} can't be read", "Run Propolis as root")
                if status.st_uid != owner:
                    others.append(entry.name)
    except OSError as error:
        return Check(name, "fail", f"{error.filename or path}: {error.strerror}", "Run Propolis as root")
    if others and not name.startswith("config/"):  # packages leave root's files beside a service's own
        return Check(
            name,
            "warn",
            f"{path}: {', '.join(sorted(others)[:3])} belongs to another user than the folder",
            "Its service may fail to start; give it back with chown",
        )
    return Check(name, "ok", f"{path} is readable")


def space(config: Config) -> Iterator[Check]:
    """Whether clones and a restore have room, and whether anything must be copied in downtime."""
    filesystems: dict[int, list[Survey]] = defaultdict(list)
    for tree, path in _folders(config):
        name = f"clone {tree.name}"
        try:
            found = clone.survey(path, tree.immutable, kept_empty=tree.kept_empty)
        except PropolisError as error:
            yield Check(name, "fail", error.what, error.next)
            continue
        filesystems[found.folder.stat().st_dev].append(found)
        message = f"{found.method.value}, {_mib(found.bytes_copied)} of {_mib(found.bytes_total)} copied while down"
        if found.method is Method.COPY and found.bytes_total > _SPARE:
            hint = "Move the folder to a filesystem with reflinks (XFS, btrfs) or hard links"
            yield Check(name, "warn", message, hint)
        else:
            yield Check(name, "ok", message)
    for surveys in filesystems.values():
        yield from _room(surveys)


def _room(surveys: list[Survey]) -> Iterator[Check]:
    """Compare one filesystem's free space with what clones and a restore of its folders need."""
    free = min(found.free for found in surveys)
    where = f"the filesystem of {surveys[0].folder} has {_mib(free)} free"
    copied = sum(found.bytes_copied for found in surveys)
    total = sum(found.bytes_total for found in surveys)
    if copied + _SPARE > free:
        message = f"{where}, clones need {_mib(copied + _SPARE)}"
        yield Check("space for a clone", "fail", message, "Free some space there")
    else:
        yield Check("space for a clone", "ok", f"{where}, clones need {_mib(copied)}")
    # Present data stays beside the restored until the checks have passed.
    message = f"{where}, a restore beside the present data needs {_mib(total)}"
    if total + _SPARE > free:
        yield Check("space for a restore", "warn", message, "Free some space before a restore, or use --only")
    else:
        yield Check("space for a restore", "ok", message)


def leftovers(config: Config) -> Iterator[Check]:
    """Whether an interrupted run left clones behind."""
    found = find(config)
    if found.ours:
        yield Check("leftovers", "warn", f"an earlier run left {found.ours[0]}", "Run `propolis recover`")
    for stranger in found.strangers:
        hint = "Remove it by hand if it is not needed; what lies in a store is backed up with it"
        yield Check("leftovers", "warn", f"{stranger} {STRANGER}", hint)
    if not found.ours and not found.strangers:
        yield Check("leftovers", "ok", "no clone of an earlier run is left")


def state(config: Config) -> Iterator[Check]:
    """Whether the state folder can be written, or made where it isn't there yet, and is closed to others."""
    folder = config.state
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        yield Check("state folder", "fail", f"{nearest} is not a folder", "Set `state` in propolis.yaml")
        return
    try:
        with tempfile.TemporaryFile(dir=nearest) as trial:
            trial.write(b"trial")
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        yield Check("state folder", "fail", f"{nearest} can't be written: {error.strerror}", "Run Propolis as root")
        return
    if nearest != folder:
        yield Check("state folder", "ok", f"{folder} is not there yet and can be made")
    elif folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Check("state folder", "warn", f"{folder} is open to others", f"Run chmod 700 {folder}")
    else:
        yield Check("state folder", "ok", f"{folder} can be written")


def _folders(config: Config) -> Iterator[tuple[Tree, Path]]:
    return ((tree, tree.path) for tree in trees(config) if tree.path is not None)


def _mib(count: int) -> str:
    return f"{count / 1024**2:,.0f} MiB" if count >= 1024**2 else f"{count / 1024:,.0f} KiB"
