"""Makes what was stored known: indexes while a backup runs, its manifest at the end."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.index import PackedSegments, write_index
from propolis.repository.layout import hash_name, utc_now, utc_text
from propolis.repository.model import BackupId, BackupSummary, Header, Stats
from propolis.repository.text import TextWriter

if TYPE_CHECKING:
    from propolis.repository.repository import Repository

PACKS_PER_INDEX = 64
"""A backup that is interrupted has at most so many packs to store again."""
_STAMP = "%Y%m%dT%H%M%SZ"


class Publisher:
    """Writes a backup's indexes and manifest, each after what it refers to is durable."""

    def __init__(self, repository: Repository, stats: Stats, check: Callable[[], None]) -> None:
        """`check` raises `RepositoryError` when the backup's lease is no longer held."""
        self._repository = repository
        self._check = check
        self._stats = stats
        self._recipients = repository.ring.recipients()
        self._packed: list[PackedSegments] = []
        self._lock = threading.Lock()

    def add(self, packed: PackedSegments) -> None:
        """A pack was stored; safe from any thread."""
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
        """Write the manifest, ended now; the backup exists when this returns. All packs must be known already."""
        ended = self._end_time()
        header = msgspec.structs.replace(header, ended=utc_text(ended))
        stored = text.finish(msgspec.json.encode(header), self._recipients)
        digest, stamp = hash_name(stored), ended.strftime(_STAMP)
        storage = self._repository.storage
        name = f"manifests/{stamp}-{digest}"
        self._put(name, stored)
        if storage.size(name) != len(stored):
            raise IntegrityError(f"{name} is not in the repository {storage.place} as it was stored")
        self._stats.add(stored=len(stored))
        return BackupSummary(BackupId(f"{stamp}-{digest[:8]}"), header, len(stored))

    def _write_index(self) -> None:
        with self._lock:
            packed, self._packed = self._packed, []
        if not packed:
            return
        self._check()
        self._repository.storage.flush()
        stored = write_index(packed, self._repository.key, self._recipients)
        self._put(f"indexes/{hash_name(stored)}", stored)
        self._stats.add(stored=len(stored))

    def _put(self, name: str, stored: bytearray) -> None:
        """Store what refers to packs; only while the lease is held, since prune may have removed them otherwise."""
        storage = self._repository.storage
        self._check()
        storage.put(name, stored)
        storage.flush()
        try:
            self._check()
        except RepositoryError:
            storage.delete(name)
            raise

    def _end_time(self) -> datetime.datetime:
        """Now; or a moment later when another backup ended in this very second, so that the newest is the latest."""
        now = utc_now()
        newest = max((id[:16] for id, _ in self._repository.names()), default="")
        if now.strftime(_STAMP) <= newest <= (now + datetime.timedelta(minutes=1)).strftime(_STAMP):
            last = datetime.datetime.strptime(newest, _STAMP).replace(tzinfo=datetime.UTC)
            return last + datetime.timedelta(seconds=1)
        return now
