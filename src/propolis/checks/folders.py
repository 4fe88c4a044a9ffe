"""Rules of the stack's folders: readable, whole, owned alike."""

from __future__ import annotations

import datetime
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from propolis import clone
from propolis.checks.look import Look
from propolis.command.kept import lacking, records
from propolis.command.leftovers import STRANGER, UNRECORDED, find
from propolis.run.journal import journal_folder
from propolis.run.journals import open_runs, recorded_places
from propolis.stack.rules import Check
from propolis.stack.stack import folders


def readable(look: Look) -> Iterator[Check]:
    """Whether each folder is there, can be read, and is owned by one user throughout its top."""
    for tree in folders(look.config):
        own = clone.names_directly_in(tree.path, recorded_places(journal_folder(look.config.state)))
        yield _readable(tree.name, tree.path, own)


def _readable(name: str, path: Path, own: frozenset[str]) -> Check:
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
                if status.st_uid != owner and entry.name not in own:
                    others.append(entry.name)
    except OSError as error:
        return Check(name, "fail", f"{error.filename or path}: {error.strerror}", "Run Propolis as root")
    if others and not name.startswith("config/"):  # packages leave root's files beside a service's own
        return Check(
            name,
            "warn",
            f"{path}: {', '.join(sorted(others)[:3])} belongs to another user than the folder",
            "The service may fail to start; correct the owner with chown",
        )
    return Check(name, "ok", f"{path} is readable")


def leftovers(look: Look) -> Iterator[Check]:
    """Whether an interrupted run left clones behind, or a journal that keeps backups and restores from running."""
    found = find(look.config)
    unreadable = open_runs(journal_folder(look.config.state)).unreadable
    for journal in unreadable:
        yield Check("leftovers", "fail", journal.what, journal.next)
    if found.ours:
        yield Check("leftovers", "warn", f"an earlier run left {found.ours[0]} behind", "Run `propolis recover`")
    for stranger in found.strangers:
        hint = "Remove it by hand if it is not needed; anything inside a store is backed up with it"
        yield Check("leftovers", "warn", f"{stranger} {STRANGER}", hint)
    for place in found.unrecorded:
        yield Check("leftovers", "warn", f"{place} {UNRECORDED}", "Remove it by hand if it is not needed")
    if not found.ours and not found.strangers and not found.unrecorded and not unreadable:
        yield Check("leftovers", "ok", "no clone of an earlier run is left")


def kept(look: Look) -> Iterator[Check]:
    """Whether the former data that restores keep is there, and how much room it takes until when."""
    found = records(look.config.state)
    for why in found.unreadable:
        yield Check("kept data", "fail", why, "Correct the record, or move it away with what is kept")
    now = datetime.datetime.now(datetime.UTC)
    for one in found.kept:
        message = f"{one.bytes / 1024**2:,.1f} MiB that run {one.run} replaced, until {one.until[:10]}"
        if gone := lacking(one):
            hint = f"It can't be undone any more: `propolis clean {one.run}` drops what is left of it"
            yield Check("kept data", "warn", f"{message}: {'; '.join(gone)}", hint)
        elif one.is_due(now):
            message = f"{message}: its time is over"
            yield Check("kept data", "warn", message, "The next backup or restore drops it, or `propolis clean`")
        else:
            yield Check("kept data", "ok", message)
    if not found.kept and not found.unreadable:
        yield Check("kept data", "ok", "no restore keeps any")


def state(look: Look) -> Iterator[Check]:
    """Whether the state folder can be written, or made where it isn't there yet, and is closed to others."""
    folder = look.config.state
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
        yield Check("state folder", "fail", f"{nearest} is not writable: {error.strerror}", "Run Propolis as root")
        return
    if nearest != folder:
        yield Check("state folder", "ok", f"{folder} does not exist yet and can be created")
    elif folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Check("state folder", "warn", f"{folder} is accessible to other users", f"Run chmod 700 {folder}")
    else:
        yield Check("state folder", "ok", f"{folder} is writable")
