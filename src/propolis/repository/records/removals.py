"""Which backups were removed on purpose: so that one that isn't there, and wasn't, is known to be missing.

`removals/<hash>` is a text whose lines are `removed TAB <backup> TAB <time>`. A new one has all that is still of use,
and then the ones before it are deleted.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

import msgspec

from propolis.clock import utc_now, utc_text
from propolis.errors import IntegrityError
from propolis.repository.access.leases import Lease
from propolis.repository.format.damage import Finding, sparing
from propolis.repository.format.entries import BackupId
from propolis.repository.format.names import FORMAT, SMALL_LIMIT, check_name, hash_name, is_hash
from propolis.repository.format.text import TextWriter, read_header, read_lines
from propolis.repository.repository import Repository

_FOLDER = "removals"
_HEADER = {"format": FORMAT, "kind": "removals"}
_LINE = re.compile(rb"removed\t(\d{8}T\d{6}Z-[0-9a-f]{8})\t(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")
_KEPT = datetime.timedelta(days=400)
"""For so long something may still name a backup that was removed."""
_MOST = 10_000
"""So many take a third of what such an object may hold."""


def read_removals(repository: Repository, damaged: list[Finding]) -> dict[BackupId, str]:
    """The backups that were removed, and when (UTC, as `2026-11-23T22:45:00Z`); records that can't be read go into
    `damaged`. Raises `RepositoryError` when the storage fails."""
    found: dict[BackupId, str] = {}
    for name in _names(repository):
        with sparing(repository.storage, name, damaged):
            found.update(_read(repository, name))
    return found


def record_removals(
    repository: Repository, removed: Iterable[BackupId], referred: Iterable[str], lease: Lease
) -> None:
    """Record, durably, that backups are about to be removed. `referred`: IDs that something still names.

    Records that can't be read stay. Raises `RepositoryError`.
    """
    damaged: list[Finding] = []
    old = _names(repository)
    known = read_removals(repository, damaged)
    now = utc_now()
    needed, limit = set(referred), utc_text(now - _KEPT)
    recent = sorted(known, key=lambda id: known[id])[-_MOST:]
    told = {id: at for id, at in known.items() if id in needed} | {
        id: at for id in recent if (at := known[id]) > limit
    }
    told |= dict.fromkeys(removed, utc_text(now))
    if told == known and len(old) <= 1:
        return
    writer = TextWriter(repository.key)
    for id, at in sorted(told.items()):
        writer.add(f"removed\t{id}\t{at}".encode())
    stored = writer.finish(msgspec.json.encode(_HEADER), repository.ring.recipients())
    new = f"{_FOLDER}/{hash_name(stored)}"
    lease.check()
    repository.storage.put(new, stored)
    repository.storage.flush()
    unreadable = {finding.object for finding in damaged}
    for name in old:
        if name not in unreadable:
            lease.check()
            repository.storage.delete(name)
    repository.storage.flush()


def _names(repository: Repository) -> list[str]:
    listed = (stored.name for stored in repository.storage.list(_FOLDER))
    return sorted(name for name in listed if is_hash(name.removeprefix(f"{_FOLDER}/")))


def _read(repository: Repository, name: str) -> dict[BackupId, str]:
    stored = repository.storage.get(name, SMALL_LIMIT)
    check_name(name, stored)
    header = read_header(stored, repository.identities, name, whole=True) or b""
    try:
        is_ours = msgspec.json.decode(header, type=dict) == _HEADER
    except (msgspec.MsgspecError, UnicodeDecodeError):
        is_ours = False
    if not is_ours:
        raise IntegrityError(f"{name} is not a record of removals")
    found: dict[BackupId, str] = {}
    for block in read_lines(stored, repository.identities, repository.key, name):
        for line in block:
            match = _LINE.fullmatch(line)
            if match is None:
                raise IntegrityError(f"{name} is damaged: a line can't be understood")
            found[BackupId(match[1].decode())] = match[2].decode()
    return found
