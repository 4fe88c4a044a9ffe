"""Rules of what lies elsewhere: the bucket of attachments, the host's key, the repository."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime

from propolis.checks.look import Look
from propolis.command.host_key import add_host_key, why_closed
from propolis.command.kept import WithoutKept, aside_prefixes, records
from propolis.command.known import remembered
from propolis.command.leftovers import STRANGER
from propolis.command.stores import open_bucket, open_repository
from propolis.config.schema import Config, S3Files
from propolis.errors import BusyError, RepositoryError
from propolis.repository import Repository, read_identities
from propolis.repository.access.conditional import IGNORED, STILL_HOLDS, creates_once
from propolis.repository.crypto.identities import CLOSED
from propolis.repository.records.overview import overview
from propolis.repository.storage import reserve
from propolis.run.journal import journal_file, journal_folder
from propolis.run.journals import OURS
from propolis.stack.rules import Check, clock
from propolis.stack.stack import buckets


def bucket(look: Look) -> Iterator[Check]:
    """Whether the bucket of attachments can be listed, whoever keeps it."""
    files = look.config.files
    if not isinstance(files, S3Files):
        return
    kept = tuple(
        prefix
        for tree in buckets(look.config)
        for prefix in aside_prefixes(records(look.config.state).kept, tree.name)
    )
    source = WithoutKept(open_bucket(files), kept)
    first = next(iter(source.list()), None)
    what = "holds attachments" if first is not None else "is empty"
    name = files.bucket
    yield Check("files/bucket", "warn" if first is None else "ok", f"the bucket {name} {what}")
    # Keys come in order, and a dot comes before letters and digits.
    if first is not None and first.key.startswith(OURS):
        prefix = first.key.partition("/")[0]
        run = prefix.removeprefix(f"{OURS}aside-")
        if journal_file(journal_folder(look.config.state), run).exists():
            yield Check("files/bucket", "warn", f"an earlier run left {prefix}/ in it", "Run `propolis recover`")
        else:
            hint = "Remove it by hand if it is not needed; it is backed up with the attachments"
            yield Check("files/bucket", "warn", f"{prefix}/ in the bucket {name} {STRANGER}", hint)


def host_key(look: Look) -> Iterator[Check]:
    """Whether the host's own key is there, whole, and closed to everybody else."""
    path = look.config.repository.host_key
    closed = why_closed(look.config)
    if closed:
        yield Check("host key", "fail", closed, f"To back up from this host, run: {add_host_key(look.file)}")
        return
    try:
        status = path.stat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        hint = "Create one with `propolis repository init`" if missing else CLOSED
        yield Check("host key", "fail", f"{path}: {error.strerror}", hint)
        return
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = f"{status.st_mode & 0o777:04o}"
        yield Check("host key", "fail", f"{path} is accessible to other users (mode {mode})", f"Run chmod 600 {path}")
        return
    if status.st_uid != os.geteuid():
        yield Check("host key", "warn", f"{path} belongs to another user", f"Run chown root {path}")
        return
    read_identities(path)
    yield Check("host key", "ok", f"{path} exists, and only its owner can read it")


def usable(look: Look) -> Iterator[Check]:
    """Whether the repository can be opened, written and listed, and what its clock says."""
    repository = open_repository(look.config, look.identity)
    repository.require_key()  # says so when none was given
    place = look.config.repository.url
    which = "the host's key" if look.identity is None else "the keys given"
    yield Check("repository", "ok", f"{place} can be opened with {which}")
    try:
        with repository.lease("shared"):
            # The lock just written carries the storage's own time.
            newest = max((stored.modified_ns for stored in repository.storage.list("locks")), default=None)
            yield Check("repository writable", "ok", f"{place} is writable")
            if newest is not None:
                yield clock("repository clock", datetime.fromtimestamp(newest / 1e9, UTC))
        yield _conditional(repository)
        if not reserve.is_there(repository.storage):
            what = (
                f"{place} has no reserve of {reserve.needed(repository.storage) >> 20} MiB for a prune on a full disk"
            )
            yield Check("repository reserve", "warn", what, "The next backup or prune creates it if it can")
    except BusyError as error:
        yield Check("repository writable", "warn", error.what, error.next)
    except RepositoryError as error:
        yield Check("repository writable", "fail", error.what, error.next)
    yield from _locks(repository)
    yield from _backups(look.config, repository)


def _backups(config: Config, repository: Repository) -> Iterator[Check]:
    """Whether every backup that must be there is there, can be read, and was made when it says."""
    found = overview(repository, remembered(config, repository))
    mine = [backup for backup in found.backups if backup.header.stack == config.name]
    if mine:
        yield Check("backups", "ok", f"{len(mine)}; the last one is {mine[-1].id}")
    else:
        yield Check("backups", "warn", "there is no backup of this stack yet", "Take one with `propolis backup`")
    for finding in found.findings:
        hint = "Run `propolis repository check`; then restore it from a copy, or run `propolis repository repair`"
        yield Check("backups", "fail", f"{finding.what} ({finding.object})", hint)
    for remark in found.remarks:
        yield Check("backup times", "warn", remark, "Keep this host's clock right, e.g. with chrony")


def _conditional(repository: Repository) -> Check:
    """Say whether the storage creates an object only where there is none."""
    if creates_once(repository.storage):
        return Check("repository locks", "ok", "the storage respects If-None-Match (it never overwrites a lock)")
    return Check(
        "repository locks",
        "warn",
        f"{repository.storage.place}: {IGNORED}",
        f"{STILL_HOLDS}. Update the server, or move to one that respects it",
    )


def _locks(repository: Repository) -> Iterator[Check]:
    """Whether the bucket locks objects, where it is to, and until when the last backup is held."""
    lock = repository.storage.lock
    if lock is None:
        return
    lock.require_lock()
    newest = next(reversed(repository.names()), None)
    if newest is None:
        yield Check("object lock", "ok", "the bucket locks objects")
        return
    id, name = newest
    held = lock.retention(name)
    if held is None:
        hint = "The next backup locks everything that it needs; this one was made without object_lock"
        yield Check("object lock", "warn", f"the last backup, {id}, is not locked", hint)
    else:
        yield Check(
            "object lock", "ok", f"the last backup is locked ({held.mode.lower()}) until {held.until:%Y-%m-%d}"
        )
