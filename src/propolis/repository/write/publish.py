"""Makes what was stored known: indexes while a backup runs, its manifest, or a host's part of it, at the end."""

from __future__ import annotations

import datetime
import threading

import msgspec

from propolis.clock import utc_now, utc_text
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access.leases import Lease
from propolis.repository.format.entries import BackupId, Header
from propolis.repository.format.index import PackedSegments, write_index
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.names import hash_name
from propolis.repository.format.part import PartHeader, part_name
from propolis.repository.format.table import SegmentTable
from propolis.repository.format.text import TextWriter
from propolis.repository.model import BackupSummary, Stats
from propolis.repository.repository import Repository
from propolis.repository.write.protection import LOCKED_UNTIL, Protection

PACKS_PER_INDEX = 64
"""A backup that is interrupted has at most so many packs to store again."""
_STAMP = "%Y%m%dT%H%M%SZ"


class Publisher:
    """Writes a backup's indexes and manifest, each after what it refers to is durable."""

    def __init__(self, repository: Repository, stats: Stats, lease: Lease) -> None:
        """`lease` is the backup's."""
        self._repository = repository
        self._lease = lease
        self._stats = stats
        self._recipients = repository.ring.recipients()
        self._packed: list[PackedSegments] = []
        self._lock = threading.Lock()
        self._protection: Protection | None = None
        self._until: datetime.datetime | None = None

    def begin(self, table: SegmentTable, parent: Manifest | None) -> None:
        """Before anything is stored: `table` is what is there, `parent` the manifest that files are taken from.

        Raises `ConfigError` when objects are to be locked in a bucket that can't.
        """
        storage = self._repository.storage
        if storage.lock is not None:
            storage.lock.require_lock()
            self._protection = Protection(storage, storage.lock, table, parent)

    def rely_on(self, until: datetime.datetime) -> None:
        """Instead of `begin`: all that the manifest will refer to is locked until then."""
        self._until = until

    def refer(self, line: bytes, *, inherited: bool) -> None:
        """A line of the manifest; `inherited`: the parent has its segments."""
        if self._protection is not None:
            self._protection.refer(line, inherited=inherited)

    def add(self, packed: PackedSegments) -> None:
        """A pack was stored; safe from any thread."""
        if self._protection is not None:
            self._protection.stored(packed.pack.hash)
        with self._lock:
            self._packed.append(packed)
            if len(self._packed) < PACKS_PER_INDEX:
                return
        self._write_index()

    def finish(self) -> None:
        """Make every pack known and durable."""
        self._write_index()
        self._repository.storage.flush()

    def keep_for_next_time(self) -> None:
        """`finish` for a backup that is given up, so that the next one need not store its packs again."""
        try:
            self.finish()
        except RepositoryError:
            # The storage failed: that error is on its way out already. Only the chance to resume is lost.
            return

    def write_manifest(self, header: Header, text: TextWriter) -> BackupSummary:
        """Write the manifest, ended now; the backup exists when this returns. All packs must be known already.

        In a bucket with Object Lock, all that it refers to is locked first: no backup is recorded without.
        """
        header = self._protected(header)
        ended = self._end_time()
        header = msgspec.structs.replace(header, ended=utc_text(ended))
        stored = text.finish(msgspec.json.encode(header), self._recipients)
        digest, stamp = hash_name(stored), ended.strftime(_STAMP)
        self._put_whole(f"manifests/{stamp}-{digest}", stored)
        return BackupSummary(BackupId(f"{stamp}-{digest[:8]}"), header, len(stored))

    def write_part(self, run: str, host: str, header: Header, text: TextWriter) -> str:
        """Seal what this host contributes to a backup of several, ended now, instead of a manifest; its name.

        As for a manifest, all packs must be known already, and all that it refers to is locked first.
        """
        header = msgspec.structs.replace(self._protected(header), ended=utc_text(utc_now()))
        stored = text.finish(msgspec.json.encode(PartHeader(run, host, header)), self._recipients)
        name = part_name(run, host, hash_name(stored))
        self._put_whole(name, stored)
        return name

    def _protected(self, header: Header) -> Header:
        """Lock all that is referred to; the header that tells until when."""
        if self._protection is not None:
            self._until = self._protection.protect()
        if self._until is None:
            return header
        return msgspec.structs.replace(header, facts={**header.facts, LOCKED_UNTIL: utc_text(self._until)})

    def _put_whole(self, name: str, stored: bytearray) -> None:
        storage = self._repository.storage
        self._put(name, stored, self._until)
        if storage.size(name) != len(stored):
            raise IntegrityError(f"{name} is not in the repository {storage.place} as it was stored")
        self._stats.add(stored=len(stored))

    def _write_index(self) -> None:
        with self._lock:
            packed, self._packed = self._packed, []
        if not packed:
            return
        self._lease.check()
        self._repository.storage.flush()
        stored = write_index(packed, self._repository.key, self._recipients)
        self._put(f"indexes/{hash_name(stored)}", stored)
        self._stats.add(stored=len(stored))

    def _put(self, name: str, stored: bytearray, until: datetime.datetime | None = None) -> None:
        """Store what refers to packs; only while the lease is held, since prune may have removed them otherwise."""
        storage = self._repository.storage
        self._lease.check()
        if until is not None and storage.lock is not None:
            storage.lock.put_until(name, stored, until)
        else:
            storage.put(name, stored)
        storage.flush()
        try:
            self._lease.confirm(name)
        except RepositoryError as error:
            self._take_back(name, error)
            raise

    def _take_back(self, name: str, lost: RepositoryError) -> None:
        """Delete what was written as the lease was lost; say so when that isn't allowed.

        A host may have no right to delete. Then a prune that went on meanwhile (nothing else can have taken the
        lease's place) could have removed packs that this names, and only a check can tell.
        """
        try:
            self._repository.storage.delete(name)
        except RepositoryError as denied:
            raise RepositoryError(
                f"{lost.what}; {name}, which had just been written, can't be deleted: {denied.what}",
                left=f"{name} stays; if a prune ran in the meantime, it may name packs that are gone",
                next="Run `propolis repository check`, then repair if needed, with the maintenance credential",
            ) from None

    def _end_time(self) -> datetime.datetime:
        """Now; or a moment later when another backup ended in this very second, so that the newest is the latest."""
        now = utc_now()
        soon = (now + datetime.timedelta(minutes=1)).strftime(_STAMP)  # not what a wrong clock dated
        newest = max((id[:16] for id, _ in self._repository.names() if id[:16] <= soon), default="")
        if now.strftime(_STAMP) <= newest:
            last = datetime.datetime.strptime(newest, _STAMP).replace(tzinfo=datetime.UTC)
            return last + datetime.timedelta(seconds=1)
        return now
