"""Makes one ordinary backup of the parts of several hosts: their lines one after the other, then the manifest."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Sequence

from propolis.clock import utc_text
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access.leases import Lease
from propolis.repository.format.names import MANIFEST_LIMIT
from propolis.repository.format.part import Part, PartHeader, parse_part_name
from propolis.repository.format.text import TextWriter
from propolis.repository.model import BackupSummary, Facts, Stats
from propolis.repository.repository import Repository
from propolis.repository.storage.base import ObjectLock
from propolis.repository.write.heading import merged
from propolis.repository.write.protection import LOCKED_UNTIL
from propolis.repository.write.publish import Publisher

_AGAIN = "Run the backup again: what was stored so far is not stored again"


def compose(
    repository: Repository,
    stack: str,
    run: str,
    names: Iterable[str],
    hosts: Sequence[str],
    facts: Facts,
    lease: Lease,
) -> BackupSummary:
    """Write the manifest of a backup that `hosts` took part in, one part each: the backup exists when this returns.

    `names` are the parts as the hosts reported them, which is not believed: raises `IntegrityError`, and records
    nothing, unless there is one of each host, of this run, whole, genuine, and without a tree that another has, too.
    `lease` is the coordinator's own, and shared: held since before the first part was sealed. Takes the memory of
    the manifest and of one part, as they are stored. The parts stay: see `drop_parts`.
    """
    stats = Stats()
    publisher = Publisher(repository, stats, lease)
    wanted = _one_of_each(run, names, hosts)
    lock = repository.storage.lock
    until = None
    if lock is not None:
        until = _locked_until(repository, lock, wanted)
        if until is None:
            publisher.begin(repository.load_table(), None)
        else:
            publisher.rely_on(until)
    text = TextWriter(repository.key)
    parts: list[PartHeader] = []
    for name in wanted:
        part = load_part(repository, name)
        parts.append(part.header)
        _require_same_backup(stack, facts.kind, parts)
        for line in part.lines():
            publisher.refer(line, inherited=False)
            text.add(line)
        del part  # the next one takes its place
    return publisher.write_manifest(merged(parts, facts), text)


def drop_parts(repository: Repository, names: Iterable[str]) -> bool:
    """Delete parts whose backup was recorded; False when that wasn't allowed, and a prune will do it."""
    with contextlib.suppress(RepositoryError):
        for name in names:
            repository.storage.delete(name)
        repository.storage.flush()
        return True
    return False


def load_part(repository: Repository, name: str) -> Part:
    """A part of intact bytes; raises `IntegrityError` when it is damaged or missing."""
    if parse_part_name(name) is None:
        raise IntegrityError(f"{name[:200]!r} is not the name of a part")
    return Part(name, repository.storage.get(name, MANIFEST_LIMIT), repository.identities, repository.key)


def _one_of_each(run: str, names: Iterable[str], hosts: Sequence[str]) -> list[str]:
    """The parts' names in the order of the hosts; raises `IntegrityError` unless each has one, of this run."""
    found: dict[str, str] = {}
    for name in names:
        parsed = parse_part_name(name)
        if parsed is None:
            raise _refused(f"{name[:200]!r} is not the name of a part")
        if parsed.run != run:
            raise _refused(f"{name} is a part of the run {parsed.run}, not of {run}")
        if parsed.host not in hosts:
            raise _refused(f"{name} is of the host {parsed.host}, which has no part in this backup")
        if parsed.host in found:
            raise _refused(f"The host {parsed.host} has two parts, {found[parsed.host]} and {name}")
        found[parsed.host] = name
    if missing := [host for host in hosts if host not in found]:
        raise _refused(f"The part of {', '.join(missing)} is missing")
    return [found[host] for host in hosts]


def _require_same_backup(stack: str, kind: str, parts: Sequence[PartHeader]) -> None:
    """Raise `IntegrityError` unless these are parts of one backup of the stack, and no tree comes twice."""
    trees: dict[str, str] = {}
    for part in parts:
        told = part.told
        if (told.stack, told.kind) != (stack, kind):
            raise _refused(
                f"The part of {part.host} is of a {told.kind} backup of {told.stack}, not {kind} of {stack}"
            )
        if told.parent != parts[0].told.parent:
            raise _refused(
                f"The parts of {parts[0].host} and {part.host} are based on different backups: "
                f"{parts[0].told.parent or 'none'} and {told.parent or 'none'}"
            )
        for tree in told.trees:
            if tree.name in trees:
                raise _refused(f"Both {trees[tree.name]} and {part.host} have a tree {tree.name}")
            trees[tree.name] = part.host


def _locked_until(repository: Repository, lock: ObjectLock, names: Sequence[str]) -> datetime.datetime | None:
    """Until when all that the parts refer to is locked; None unless that is as long as a new backup needs.

    As with a backup's parent: a part says so, and is itself locked until this very date, in this bucket.
    """
    lock.require_lock()
    until = lock.reach()
    for name in names:
        told = load_part(repository, name).header.told.facts.get(LOCKED_UNTIL)
        retention = lock.retention(name)
        if told != utc_text(until) or retention is None or retention.until != until:
            return None
    return until


def _refused(what: str) -> IntegrityError:
    return IntegrityError(what, left="No backup was recorded", next=_AGAIN)
