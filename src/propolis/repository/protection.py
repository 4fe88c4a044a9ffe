"""Locks anew what a backup reuses, before it is recorded.

The date of a backup's manifest is the proof of it: it is stored last, with the very date that everything it refers to
was locked until. So the next backup asks for the date of its parent's manifest first. If that is the date it needs
itself, all packs that it has in common with the parent are locked long enough, and no request is made for them; only
for what it took from elsewhere. If it isn't, a new period has begun (see `immutability`), and each pack is asked for
and locked anew. The date stands in the bucket, not in the manifest: a bucket that was copied has none, and nobody can
move one back.
"""

from __future__ import annotations

import datetime
import threading

from propolis.errors import IntegrityError
from propolis.repository.immutability import LockedStorage, gone, reach
from propolis.repository.index import SegmentTable
from propolis.repository.layout import CONFIG, pack_name
from propolis.repository.storage import Stored

_SURE_NS = 86_400 * 10**9
"""What was stored less than a day before the parent may have been unknown to it (another backup ran beside it), so it
is asked for."""
_READ, _INHERITED = 1, 2
_SEGMENTS = 11
_HASH = 64


class Protection:
    """What one backup refers to, and its locking."""

    def __init__(self, storage: LockedStorage, table: SegmentTable, parent: str | None) -> None:
        """`table` is what the repository held when the backup began; `parent` names its parent's manifest."""
        self._storage, self._table, self._parent = storage, table, parent
        self._used = bytearray(len(table.packs))
        self._own: list[str] = []
        self._began = reach(storage.lock)
        self._lock = threading.Lock()

    def refer(self, line: bytes, *, inherited: bool) -> None:
        """A line of the manifest refers to segments; `inherited`: it has them from the parent."""
        segments = line.split(b"\t")[_SEGMENTS]
        if segments == b"-":
            return
        mark = _INHERITED if inherited else _READ
        for segment in segments.split(b","):
            # A reader may take any copy.
            for _, place in self._table.copies(bytes.fromhex(segment.decode())):
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
            until = reach(self._storage.lock)
            self._storage.extend(self._unsure(until), until)
            if reach(self._storage.lock) == until:
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
            number = self._table.number(digest)
            if digest in own:
                own.discard(digest)
                # It has this date from the start, unless the run began in an earlier period.
                if self._began != until:
                    unsure.append(stored.name)
            elif number is not None and missing[number]:
                if stored.size != self._table.packs[number].stored:
                    raise self._cut(stored, self._table.packs[number].stored)
                missing[number] = 0
                if not self._used[number] & _INHERITED or stored.modified_ns >= sure_ns:
                    unsure.append(stored.name)
        lost = sorted(own) + [self._table.packs[number].hash for number, used in enumerate(missing) if used]
        if lost:
            raise gone(self._storage, pack_name(lost[0]))
        return unsure

    def _covered(self, until: datetime.datetime) -> int:
        """What was stored before this moment (ns) and is the parent's is locked until then."""
        if self._parent is None:
            return 0
        found = {stored.name: stored for stored in self._storage.list("manifests")}.get(self._parent)
        retention = self._storage.retention(self._parent) if found else None
        # Not a later one either: that would have been given by something else, as a bucket's own default is.
        if found is None or retention is None or retention.until != until:
            return 0
        return found.modified_ns - _SURE_NS

    def _cut(self, stored: Stored, size: int) -> IntegrityError:
        return IntegrityError(
            f"{stored.name} in the repository {self._storage.place} has {stored.size} bytes instead of {size}",
            left="No backup was recorded",
            next="Run propolis repository check, then repair, with the credential for care",
        )
