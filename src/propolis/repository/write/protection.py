"""Locks anew what a backup reuses, before it is recorded.

A backup's manifest is the proof of it. It is stored last, locked until the very date that everything it refers to was
locked until, and this date stands in it, too (`locked_until` of its facts). So the next backup looks at its parent's
first. If both are the date it needs itself, all packs that it has in common with the parent are locked long enough,
and no request is made for them; only for what it took from elsewhere. Otherwise a new period has begun (see
`storage.locked`), and each pack is asked for and locked anew. Both are needed: only who has the repository's key can
have written what stands in the manifest, and only in this bucket, not in a copy of it, is it locked.
"""

from __future__ import annotations

import datetime
import threading

from propolis.clock import utc_text
from propolis.errors import IntegrityError
from propolis.repository.format.entries import SEGMENTS, segment_ids
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.names import CONFIG, pack_name
from propolis.repository.format.table import SegmentTable
from propolis.repository.storage.base import ObjectLock, Storage, Stored, gone

_SURE_NS = 86_400 * 10**9
"""What was stored less than a day before the parent may have been unknown to it (another backup ran beside it), so it
is asked for."""
_READ, _INHERITED = 1, 2
_APART_NS = 60 * 10**9
"""The clocks of a storage's machines may differ a little."""
LOCKED_UNTIL = "locked_until"
"""The key in a manifest's facts."""
_HASH = 64


class Protection:
    """What one backup refers to, and its locking."""

    def __init__(self, storage: Storage, lock: ObjectLock, table: SegmentTable, parent: Manifest | None) -> None:
        """`table` is what the repository held when the backup began; `parent` is its parent's manifest."""
        self._storage, self._object_lock, self._table = storage, lock, table
        self._parent = parent.name if parent else None
        self._parent_until = parent.header.facts.get(LOCKED_UNTIL) if parent else None
        self._newest_index_ns = max((stored.modified_ns for stored in storage.list("indexes")), default=0)
        self._used = bytearray(len(table.packs))
        self._own: list[str] = []
        self._began = lock.reach()
        self._lock = threading.Lock()

    def refer(self, line: bytes, *, inherited: bool) -> None:
        """A line of the manifest refers to segments; `inherited`: it has them from the parent."""
        segments = line.split(b"\t", SEGMENTS + 1)[SEGMENTS]
        mark = _INHERITED if inherited else _READ
        for segment in segment_ids(segments, "the manifest"):
            # A reader may take any copy.
            for _, place in self._table.copies(segment):
                self._used[place.pack] |= mark

    def stored(self, digest: str) -> None:
        """This backup stored a pack, which was locked thereby."""
        with self._lock:
            self._own.append(digest)

    def protect(self) -> datetime.datetime:
        """Lock all that the backup refers to, until the time that this gives.

        Raises `IntegrityError` when a pack is gone or was changed, `RepositoryError` when the storage refuses.
        """
        while True:
            until = self._object_lock.reach()
            self._object_lock.extend(self._unsure(until), until)
            if self._object_lock.reach() == until:
                return until
            # A new period began meanwhile.

    def _unsure(self, until: datetime.datetime) -> list[str]:
        """Names of all objects that may not be locked until then, once it is sure that all packs are there."""
        sure_ns = self._covered(until)
        unsure = self._packs(sure_ns, until)
        for kind in ("indexes", "keys", "spare"):
            # All of them: whoever opens the repository reads them all.
            unsure += [stored.name for stored in self._storage.list(kind) if stored.modified_ns >= sure_ns]
        return [*unsure, CONFIG]

    def _packs(self, sure_ns: int, until: datetime.datetime) -> list[str]:
        """The packs among them."""
        unsure = []
        missing, own = bytearray(self._used), set(self._own)
        for stored in self._storage.list("packs"):
            digest = stored.name[-_HASH:]
            if stored.name != pack_name(digest):
                continue
            number = self._table.number(digest)
            if digest in own:
                own.discard(digest)
                # It has this date from the start, unless the run began in an earlier period.
                if self._began != until:
                    unsure.append(stored.name)
            elif number is not None and missing[number]:
                if stored.size != self._table.packs[number].stored:
                    size = self._table.packs[number].stored
                    raise self._changed(stored, f"has {stored.size} bytes instead of {size}")
                if stored.modified_ns > self._newest_index_ns + _APART_NS:
                    # It was stored before the index that describes it: these are other bytes, or somebody tries.
                    raise self._changed(stored, "was overwritten after the last backup")
                missing[number] = 0
                if not self._used[number] & _INHERITED or stored.modified_ns >= sure_ns:
                    unsure.append(stored.name)
        lost = sorted(own) + [self._table.packs[number].hash for number, used in enumerate(missing) if used]
        if lost:
            raise gone(self._storage.place, pack_name(lost[0]))
        return unsure

    def _covered(self, until: datetime.datetime) -> int:
        """What was stored before this moment (ns) and is the parent's is locked until then."""
        if self._parent is None or self._parent_until != utc_text(until):
            return 0
        found = {stored.name: stored for stored in self._storage.list("manifests")}.get(self._parent)
        retention = self._object_lock.retention(self._parent) if found else None
        # Not a later one either: that would have been given by something else, as a bucket's own default is.
        if found is None or retention is None or retention.until != until:
            return 0
        return found.modified_ns - _SURE_NS

    def _changed(self, stored: Stored, how: str) -> IntegrityError:
        return IntegrityError(
            f"{stored.name} in the repository {self._storage.place} {how}",
            left="No backup was recorded",
            next="Find out who writes there. With the maintenance credential, run propolis repository check "
            "--read-data=all, then repair; --at reads the former content",
        )
