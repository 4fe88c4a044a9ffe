"""Removes backups that no rule keeps, and then what no backup needs.

The order makes every moment a good one to be killed at: manifests go first, so that no backup is ever listed that
lacks something. Then new indexes, without what is to go, then the old ones' deletion, and packs last: an index never
names a pack that was removed, since the next backup would rely on it. What a kill leaves is unneeded: the next prune
removes it.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from propolis.clock import utc_text
from propolis.config.places import RetentionConfig
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access.leases import Lease
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId
from propolis.repository.format.index import PackedSegments, write_index
from propolis.repository.format.names import hash_name, pack_name
from propolis.repository.maintenance.repack import Repacker
from propolis.repository.maintenance.retention import Candidate, Decision
from propolis.repository.maintenance.soundness import decide_among_sound
from propolis.repository.maintenance.survey import QUARANTINE_DAYS
from propolis.repository.maintenance.unfinished import find_parts
from propolis.repository.maintenance.usage import Indexes, Usage
from propolis.repository.model import BackupSummary
from propolis.repository.records.absent import absent
from propolis.repository.records.marks import Marks, read_marks
from propolis.repository.records.removals import record_removals
from propolis.repository.records.verdicts import old_verdicts
from propolis.repository.repository import Repository
from propolis.repository.storage.base import NoRoomError
from propolis.repository.storage.kinds import QUARANTINE
from propolis.repository.storage.reserve import room_to_prune

_INDEX_SEGMENTS = 100_000
"""An index grows by some 40 bytes for each."""
_SMALL_INDEX = 256 << 10
_MOST_SMALL = 16
"""More small indexes than this are merged."""
_REPACK_BATCH = 1 << 30
"""Plain bytes moved between two publications: a kill costs at most so much work."""


@dataclass
class PruneResult:
    """What a prune did, or with `planned` would do. Bytes are stored bytes unless stated otherwise."""

    planned: bool
    decisions: tuple[Decision, ...] = ()
    removed: tuple[BackupId, ...] = ()
    """Backups."""
    packs: int = 0
    """Packs that were there."""
    packs_removed: int = 0
    bytes_removed: int = 0
    packs_repacked: int = 0
    bytes_moved: int = 0
    """Plain bytes of these packs that are needed."""
    bytes_freed: int = 0
    """Plain bytes of these packs that are not."""
    packs_young: int = 0
    """Unneeded, but too young to go."""
    packs_sparse: int = 0
    """Mostly unneeded, but not repacked for want of a key."""
    indexes_rewritten: int = 0
    others_removed: int = 0
    """Verifications that no longer count, temporary files, parts of backups, and old verdicts."""
    quarantine_removed: int = 0
    """Objects that a repair put aside long enough ago."""
    remarks: list[str] = field(default_factory=list)
    """What somebody should know and harms no backup."""
    locked_until: str = ""
    """Where objects are locked: nothing is gone yet. What was removed can be got back, and takes up space, until the
    bucket's lifecycle removes it, which no lock prevents after this time (UTC)."""
    findings: list[Finding] = field(default_factory=list)
    """What the backups that stay lack, and damaged packs. Nothing of theirs was removed."""


def prune(
    repository: Repository,
    rules: RetentionConfig,
    stack: str,
    *,
    plan: bool = False,
    remembered: Mapping[BackupId, str] | None = None,
) -> PruneResult:
    """Remove the backups of `stack` that `rules` don't keep, then all that no backup of any stack needs.

    With an identity that opens packs, sparse ones are repacked. Nothing else may use the repository meanwhile:
    raises `BusyError` when something does. Raises `IntegrityError`, before anything is removed, when an index or a
    backup that stays can't be read, or one that must be there (`remembered`: also these, and how that is known)
    isn't, for then nobody knows what is needed. With `plan`, nothing is touched.
    """
    if plan:
        return _Prune(repository, rules, stack, None, remembered or {}).run()
    with room_to_prune(repository.storage) as room, repository.lease("exclusive") as lease:
        result = _Prune(repository, rules, stack, lease, remembered or {}).run()
    if room.given_up:
        result.remarks.append("The disk was full: this prune used the repository's reserve")
    if room.missing:
        result.remarks.append(room.missing)
    return result


class _Prune:
    def __init__(
        self,
        repository: Repository,
        rules: RetentionConfig,
        stack: str,
        lease: Lease | None,
        remembered: Mapping[BackupId, str],
    ) -> None:
        self._repository, self._storage, self._rules, self._stack = repository, repository.storage, rules, stack
        self._lease, self._remembered = lease, remembered
        self._backups: list[BackupSummary] = []
        now = lease.storage_time_ns if lease else int(datetime.datetime.now(datetime.UTC).timestamp() * 1e9)
        self._now_ns = now
        self._aside_ns = now - int(QUARANTINE_DAYS * 86_400e9)
        self._old_ns = now - int(rules.grace_hours * 3600e9)
        self._indexes = Indexes(repository)
        self._result = PruneResult(planned=lease is None)
        if self._storage.lock is not None:
            self._result.locked_until = utc_text(self._storage.lock.reach())

    def run(self) -> PruneResult:
        result = self._result
        marks = read_marks(self._repository)
        result.decisions = tuple(self._decide(marks))
        result.findings += [finding for found in marks.damaged.values() for finding in found]
        self._require_all(marks)
        kept = [decision.id for decision in result.decisions if decision.keep]
        result.removed = tuple(decision.id for decision in result.decisions if not decision.keep)
        # All that can fail for damage comes before the first removal.
        parts = find_parts(self._repository, self._backups, self._old_ns)
        usage = Usage(self._repository, self._indexes.load(), kept, parts.needed)
        result.findings += usage.findings + parts.damaged
        if result.findings and self._lease is not None:
            self._lease.check()  # what seems to be missing may only have gone since others took the lease's place
        result.packs = len(usage.stored)
        if self._lease is not None and result.removed:
            # First: who finds one gone must be able to tell that it was meant to go.
            record_removals(self._repository, result.removed, self._referred(kept, marks), self._lease)
        self._remove(name for id, name in self._repository.names() if id in set(result.removed))
        others = parts.over + old_verdicts(self._repository, self._now_ns)
        self._remove(others)
        if aside := self._manifests_aside():
            result.remarks.append(
                f"No packs were removed: {len(aside)} damaged manifests in {QUARANTINE}/ may need any of them, e.g. "
                f"{aside[0]}; they are kept for {QUARANTINE_DAYS} days. To free the space now, delete the files in "
                f"{QUARANTINE}/manifests/"
            )
        else:
            self._remove_unneeded(usage)
            self._repack(usage)
        names = marks.superseded(kept) + [
            stored.name for stored in self._storage.list("tmp") if stored.modified_ns < self._old_ns
        ]
        self._remove(names)
        result.others_removed = len(names) + len(others)
        self._empty_quarantine(usage)
        return result

    def _manifests_aside(self) -> list[str]:
        """Damaged manifests in quarantine that aren't to go yet: somebody may still bring them back."""
        listed = self._storage.list(f"{QUARANTINE}/manifests")
        return sorted(stored.name for stored in listed if stored.modified_ns >= self._aside_ns)

    def _empty_quarantine(self, usage: Usage) -> None:
        """What a repair put aside goes in the end; not while a backup lacks what may still be in there."""
        if not usage.findings:
            listed = self._storage.list(QUARANTINE)
            names = [stored.name for stored in listed if stored.modified_ns < self._aside_ns]
            self._remove(names)
            self._result.quarantine_removed = len(names)

    def _require_all(self, marks: Marks) -> None:
        """Raise `IntegrityError` unless every backup that must be there is there: it may need anything."""
        missing, unread = absent(self._repository, self._backups, marks, self._remembered)
        self._result.findings += unread
        gone = [finding for finding in missing if finding.object.startswith("manifests/")]
        self._result.findings += [finding for finding in missing if finding not in gone]
        if gone:
            raise IntegrityError(
                f"It is unknown which data is needed: {gone[0].what}",
                left="Nothing was removed",
                next="Restore its manifest from a copy of the repository, or give the backup up with `propolis "
                "repository repair`; then prune again",
            )

    def _referred(self, kept: Iterable[BackupId], marks: Marks) -> set[str]:
        """IDs of backups that something still names."""
        stays = set(kept)
        parents = {backup.header.parent for backup in self._backups if backup.id in stays}
        return {id for id in parents if id is not None} | marks.holds.keys() | marks.verifications.keys()

    def _decide(self, marks: Marks) -> list[Decision]:
        damaged: list[Finding] = []
        candidates, others = [], []
        self._backups = self._repository.backups(damaged=damaged)
        for backup in self._backups:
            if backup.header.stack != self._stack:
                reason = f"of the stack {backup.header.stack}, which has its own rules"
                others.append(Decision(backup.id, backup.header.stack, True, (reason,)))
                continue
            mark = marks.standing(backup.id)
            candidates.append(
                Candidate(
                    backup.id,
                    datetime.datetime.fromisoformat(backup.time),
                    backup.header.stack,
                    doubted=bool(backup.clock),
                    verified=mark is not None and mark.ok,
                    bad=mark is not None and not mark.ok,
                    held=bool(marks.holds.get(backup.id)),
                    unsure=backup.id in marks.damaged,
                )
            )
        if damaged:
            raise IntegrityError(
                f"It is unknown which data is needed: {damaged[0].object} can't be read ({damaged[0].what})",
                left="Nothing was removed",
                next="Restore it from a copy of the repository, or give it up with `propolis repository repair`; "
                "then prune again",
            )
        decisions, findings = decide_among_sound(
            self._repository, candidates, self._rules.keep, self._rules.min_verified
        )
        self._result.findings += findings
        decided = {it.id: it for it in others + decisions}
        return [decided[backup.id] for backup in self._backups]

    def _remove_unneeded(self, usage: Usage) -> None:
        """Packs that nothing needs, in an index or not."""
        drop: set[str] = set()
        victims: list[str] = []
        known = set()
        for number, pack in enumerate(usage.table.packs):
            name = pack_name(pack.hash)
            known.add(name)
            if usage.used[number]:
                continue
            if name in usage.stored:
                if not self._is_old(usage, name):
                    self._result.packs_young += 1
                    continue
                victims.append(name)
            drop.add(pack.hash)
        # What no index knows may be what a backup lacks, if one does.
        if not usage.unknown:
            stray = [name for name in usage.stored if name not in known]
            old = [name for name in stray if self._is_old(usage, name)]
            self._result.packs_young += len(stray) - len(old)
            victims += old
        self._result.packs_removed += len(victims)
        self._result.bytes_removed += sum(usage.stored[name].size for name in victims)
        self._publish(drop, [], victims)

    def _repack(self, usage: Usage) -> None:
        """Move what is needed out of packs that are mostly unneeded."""
        table, result = usage.table, self._result
        sparse: dict[int, list[tuple[bytes, int, int]]] = {
            number: []
            for number, pack in enumerate(table.packs)
            if 0 < usage.used[number] * 100 < self._rules.min_fill * pack.plain
            and usage.is_whole(number)
            and self._is_old(usage, pack_name(pack.hash))
        }
        if not self._repository.reads_packs:
            result.packs_sparse = len(sparse)
            return
        for segment, number, offset, length in usage.live():
            if number in sparse:
                sparse[number].append((segment, offset, length))
        repacker = Repacker(self._repository) if sparse and self._lease else None
        try:
            self._move(sparse, repacker, usage)
        except NoRoomError as error:
            # What was moved since the last publication takes space and serves nobody.
            self._remove(pack_name(packed.pack.hash) for packed in (repacker.packed if repacker else ()))
            result.remarks.append(f"Not all sparse packs were repacked: {error.what}")
        if repacker is not None:
            result.findings += repacker.findings

    def _move(
        self, sparse: Mapping[int, list[tuple[bytes, int, int]]], repacker: Repacker | None, usage: Usage
    ) -> None:
        """Move these segments of sparse packs into new ones, or only count them."""
        result = self._result
        moved: set[str] = set()
        size = 0
        for number, segments in sparse.items():
            pack = usage.table.packs[number]
            if repacker is not None and self._lease is not None:
                self._lease.check_time()
                if not repacker.move(pack, segments):
                    continue
            moved.add(pack.hash)
            size += usage.used[number]
            result.packs_repacked += 1
            result.bytes_moved += usage.used[number]
            result.bytes_freed += pack.plain - usage.used[number]
            if size >= _REPACK_BATCH:
                self._replace(moved, repacker)
                moved, size = set(), 0
        self._replace(moved, repacker)

    def _replace(self, moved: set[str], repacker: Repacker | None) -> None:
        if moved:
            self._publish(moved, repacker.finish() if repacker else [], [pack_name(digest) for digest in moved])

    def _is_old(self, usage: Usage, name: str) -> bool:
        return usage.stored[name].modified_ns < self._old_ns

    # -- changes ---------------------------------------------------------------------------------------------

    def _publish(self, drop: set[str], added: list[PackedSegments], victims: list[str]) -> None:
        """Replace indexes by ones with `added` and without `drop`, then remove the objects `victims`."""
        indexes = self._indexes
        old = {name for name, packs in indexes.packs.items() if not drop.isdisjoint(packs)}
        small = {name for name, size in indexes.sizes.items() if size < _SMALL_INDEX}
        if len(small) > _MOST_SMALL:
            old |= small
        if old or added:
            self._result.indexes_rewritten += len(old)
            if self._lease is not None:
                self._rewrite(sorted(old), drop, added, self._lease)
        self._remove(victims)

    def _rewrite(self, old: list[str], drop: set[str], added: list[PackedSegments], lease: Lease) -> None:
        storage, indexes = self._storage, self._indexes
        storage.flush()
        made: dict[str, int] = {}
        for chunk in _chunks(itertools.chain(self._kept(old, drop), added)):
            stored = write_index(chunk, self._repository.key, self._repository.ring.recipients())
            name = f"indexes/{hash_name(stored)}"
            lease.check()
            storage.put(name, stored)
            try:
                lease.confirm(name)
            except RepositoryError:
                storage.delete(name)
                raise
            made[name] = len(stored)
            indexes.packs[name] = [packed.pack.hash for packed in chunk]
            indexes.sizes[name] = len(stored)
        storage.flush()
        for name, size in made.items():
            if storage.size(name) != size:
                raise IntegrityError(
                    f"{name} is not in the repository {storage.place} as it was stored",
                    left="The earlier indexes were kept",
                )
        self._remove(old)
        for name in old:
            del indexes.packs[name], indexes.sizes[name]

    def _kept(self, old: list[str], drop: set[str]) -> Iterator[PackedSegments]:
        """The packs of these indexes that stay, each once."""
        seen = set(drop)
        for name in old:
            for packed in self._indexes.contents(name):
                if packed.pack.hash not in seen:
                    seen.add(packed.pack.hash)
                    yield packed

    def _remove(self, names: Iterable[str]) -> None:
        """Delete objects; that is durable when this returns."""
        chosen = list(names)
        if self._lease is None or not chosen:
            return
        for name in chosen:
            # Asked each time: a host that was frozen in between doesn't know, and others went on without it.
            self._lease.check()
            self._storage.delete(name)
        self._storage.flush()


def _chunks(packs: Iterable[PackedSegments]) -> Iterator[list[PackedSegments]]:
    """Packs in lists of a size that fits an index."""
    chunk: list[PackedSegments] = []
    segments = 0
    for packed in packs:
        chunk.append(packed)
        segments += len(packed.segments)
        if segments >= _INDEX_SEGMENTS:
            yield chunk
            chunk, segments = [], 0
    if chunk:
        yield chunk
