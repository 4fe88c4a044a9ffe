"""Copies a repository to a second place: bytes as they are, no key needed, only what is missing there.

Every object's name tells its hash, so each is checked on the way. What refers to others comes after them, the
manifests last: whenever the copy stops, what the target lists is whole, and the next one goes on from there.

A target with Object Lock has all that the source lists locked before the manifests come: what is copied by being
stored, what was there already anew. Without a key nobody knows what the new manifests need of that, so it is all.
"""

from __future__ import annotations

import datetime
import functools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access import keyring
from propolis.repository.access.conditional import require_creates_once
from propolis.repository.access.leases import Lease, ReadingLease
from propolis.repository.format.config import read_info
from propolis.repository.format.damage import reason
from propolis.repository.format.entries import BackupId
from propolis.repository.format.names import (
    CONFIG,
    INDEX_LIMIT,
    MANIFEST_LIMIT,
    MAX_SEGMENT_BYTES,
    SMALL_LIMIT,
    check_name,
    parse_manifest_name,
)
from propolis.repository.io.parallel import side_by_side
from propolis.repository.model import Observer, Stats
from propolis.repository.storage.base import MissingObjectError, NoFolderError, ObjectLock, Storage

_LIMITS = {
    "keys": SMALL_LIMIT,
    "spare": SMALL_LIMIT,
    "packs": MAX_SEGMENT_BYTES + (1 << 20),
    "indexes": INDEX_LIMIT,
    "holds": SMALL_LIMIT,
    "removals": SMALL_LIMIT,
    "manifests": MANIFEST_LIMIT,
}
"""Kinds of objects in the order in which they are copied, and how large one may be. Evidence of verification isn't
copied: it tells of the source's bytes on the source's disks. Neither are leases, what was put in quarantine, and what
belongs to a run that isn't over: parts and verdicts."""
_REFERRING = ("indexes", "manifests")
"""What must not stay at the target without the packs it names."""
_RINGS = ("keys", "spare")
_NEEDED = ("packs/", "indexes/")
_SHOWN = 5
Put = Callable[[Storage, str, memoryview], None]


@dataclass(frozen=True, kw_only=True)
class CopyResult:
    """What a copy did, or would do."""

    source: str
    target: str
    new: bool
    """Whether there was no repository at the target before."""
    objects: int
    """Objects that were missing at the target, or had another size there."""
    bytes: int
    present: int
    """Objects that were there already."""
    backups: tuple[BackupId, ...]
    """Those that the target did not have, oldest first."""
    done: bool
    """False: only planned."""
    extended: int = 0
    """Objects that were there already, and are locked for longer now."""
    remarks: tuple[str, ...] = ()
    """What somebody should know of the source."""


def copy_repository(
    source: Storage, target: Storage, *, plan: bool = False, observer: Observer | None = None
) -> CopyResult:
    """Bring to `target` all backups of `source`; nothing is deleted there.

    Raises `RepositoryError` when another repository is at the target, `BusyError` when prune is at work at either,
    `IntegrityError` when an object of the source is damaged: if it is a pack or index, all whole packs were copied
    and no manifest, otherwise all that is whole was copied.
    A copy that slept for longer than its lease ends with `RepositoryError`: packs may have been pruned meanwhile.
    """
    info, config = read_info(source)
    rings = keyring.find_key_ring(source, info, config)
    if plan:
        return _Copy(source, target if _is_there(target) else None, observer, target.place).plan()
    target.prepare()
    with ReadingLease(source) as reading, Lease(target, "shared") as lease:
        result = _Copy(source, target, observer, target.place).run(target, lease)
    return replace(result, remarks=(*(ring.what for ring in rings.damaged), *filter(None, [reading.warning])))


class _Copy:
    def __init__(self, source: Storage, there: Storage | None, observer: Observer | None, place: str) -> None:
        self._source, self._there, self._observer, self._place = source, there, observer, place
        self._lock = threading.Lock()
        self._damaged: list[str] = []
        self._stats = Stats()
        self._new = self._is_new()
        # Manifests are listed first: whatever a backup stores meanwhile, all that these need is in the later lists.
        self._listed = {kind: self._list(source, kind) for kind in reversed(_LIMITS)}
        self._missing = {kind: self._not_there(kind) for kind in _LIMITS}
        self._until: datetime.datetime | None = None

    def plan(self) -> CopyResult:
        """What would be done."""
        return self._result(done=False)

    def run(self, target: Storage, lease: Lease) -> CopyResult:
        """Copy what is missing."""
        if self._new:
            require_creates_once(target)
        result = self._result(done=True)
        began = target.lock.reach() if target.lock is not None else None
        for kind in _RINGS:
            self._transfer(kind, target, lease)
        if self._new:
            target.put(CONFIG, self._source.get(CONFIG, SMALL_LIMIT), create=True)
        for kind in ("packs", "indexes", "holds", "removals"):
            self._transfer(kind, target, lease)
            target.flush()
        # Nobody knows without a key which backups need these. Anything else that is damaged costs only itself.
        if any(name.startswith(_NEEDED) for name in self._damaged):
            raise self._damage("no backup was added there")
        self._require("packs")
        self._require("indexes")
        if target.lock is not None:
            result = replace(result, extended=self._protect(target.lock, began))
        self._transfer("manifests", target, lease)
        target.flush()
        self._require("manifests")
        if self._damaged:
            raise self._damage("all backups with intact manifests are there")
        return result

    def _protect(self, lock: ObjectLock, began: datetime.datetime | None) -> int:
        """Lock all but the manifests, as long as those will be; how many objects weren't."""
        extended = 0
        while self._until is None or self._until != lock.reach():
            self._until = lock.reach()
            # What was copied has this date from the start, unless that was in an earlier period (see reach).
            names = {CONFIG}.union(*(self._listed[kind] for kind in _LIMITS if kind != "manifests"))
            names -= set(self._damaged)
            if began == self._until:
                names -= set().union(*self._missing.values())
            extended += lock.extend(sorted(names), self._until)
        return extended

    def _is_new(self) -> bool:
        """Whether the target is empty or was begun by a copy; raises `RepositoryError` unless it may be copied to."""
        if self._there is None:
            return True
        theirs = set(self._list(self._there, "keys"))
        try:
            config = bytes(self._there.get(CONFIG, SMALL_LIMIT))
        except MissingObjectError:
            config = None
        other = config is not None and config != bytes(self._source.get(CONFIG, SMALL_LIMIT))
        if other or theirs - set(self._list(self._source, "keys")):
            what = "another repository" if other else "key rings that the source doesn't have"
            raise RepositoryError(
                f"{self._place} holds {what}, so nothing can be copied to it",
                left="It was not changed",
                next="Choose an empty place, or one created by a copy; change keys at the source only",
            )
        if config is None and not theirs and self._list(self._there, "manifests"):
            raise RepositoryError(
                f"{self._place} holds parts of a repository without its config object",
                left="It was not changed",
                next="Choose an empty place",
            )
        return config is None

    def _list(self, storage: Storage, kind: str) -> dict[str, int]:
        """Names and sizes; names of other forms are passed over."""
        try:
            listed = list(storage.list(kind))
        except RepositoryError as error:
            if kind not in _RINGS:
                raise
            self._damaged.append(f"{kind}/ ({reason(storage, error)})")  # the other one stands in for it
            listed = []
        return {
            stored.name: stored.size for stored in listed if len(stored.name) > 64 and "." not in stored.name[-64:]
        }

    def _not_there(self, kind: str) -> list[str]:
        there = self._list(self._there, kind) if self._there is not None else {}
        return sorted(name for name, size in self._listed[kind].items() if there.get(name) != size)

    def _transfer(self, kind: str, target: Storage, lease: Lease) -> None:
        limit = _LIMITS[kind]
        until = self._until if kind == "manifests" else None
        put = functools.partial(_put_leased, lease, until) if kind in _REFERRING else _put

        def make() -> Callable[[str], None]:
            return lambda name: self._one(name, limit, target, put)

        # Manifests one by one, oldest first: they may be large, and are listed in this order.
        side_by_side(self._missing[kind], make, 1 if kind == "manifests" else None)

    def _one(self, name: str, limit: int, target: Storage, put: Put) -> None:
        try:
            data = self._source.get(name, limit)
            check_name(name, data)
        except MissingObjectError:
            raise
        except (IntegrityError, RepositoryError) as error:
            reason(self._source, error)  # raises when it isn't just this object
            with self._lock:
                self._damaged.append(name)
            return
        put(target, name, data)
        self._stats.add(stored=len(data), packs=1)
        if self._observer is not None:
            self._observer(self._stats)

    def _damage(self, left: str) -> IntegrityError:
        more = f" and {len(self._damaged) - _SHOWN} more" if len(self._damaged) > _SHOWN else ""
        return IntegrityError(
            f"{len(self._damaged)} objects of {self._source.place} are damaged: "
            f"{', '.join(sorted(self._damaged)[:_SHOWN])}{more}",
            left=f"Intact objects that were copied so far are kept at the target; {left}",
            next="Run `propolis repository check` and repair, then copy again",
        )

    def _require(self, kind: str) -> None:
        """Fail unless all that was listed at the source is at the target, in full length."""
        lost = sorted(set(self._not_there(kind)).difference(self._damaged))
        if lost:
            raise IntegrityError(f"{lost[0]} is not at {self._place} as it was stored", next="Copy again")

    def _result(self, *, done: bool) -> CopyResult:
        missing = [(name, self._listed[kind][name]) for kind in _LIMITS for name in self._missing[kind]]
        return CopyResult(
            source=self._source.place,
            target=self._place,
            new=self._new,
            objects=len(missing),
            bytes=sum(size for _, size in missing),
            present=sum(map(len, self._listed.values())) - len(missing),
            backups=tuple(_ids(self._missing["manifests"])),
            done=done,
        )


def _is_there(target: Storage) -> bool:
    """Whether the place to copy to exists at all; a copy makes its folder."""
    try:
        for _ in target.list(CONFIG):
            break
    except NoFolderError:
        return False
    return True


def _put(target: Storage, name: str, data: memoryview) -> None:
    target.put(name, data)


def _put_leased(lease: Lease, until: datetime.datetime | None, target: Storage, name: str, data: memoryview) -> None:
    """Store what refers to packs; only while the lease is held, since a prune may have removed them otherwise.

    What comes late is taken back. Should another copy have brought it just then, the next copy mends that.
    """
    lease.check()
    if target.size(name) == len(data):
        return  # another copy brought it: it isn't this one's to take back
    if until is not None and target.lock is not None:
        target.lock.put_until(name, data, until)
    else:
        target.put(name, data)
    try:
        lease.confirm(name)
    except RepositoryError:
        target.delete(name)
        raise


def _ids(names: Iterable[str]) -> list[BackupId]:
    parsed = (parse_manifest_name(name) for name in names)
    return [BackupId(f"{stamp}-{digest[:8]}") for stamp, digest in filter(None, parsed)]
