"""Mends a repository: finds lost segments again, puts damaged objects aside, and says what stays lost.

New objects are written and durable before an old one is moved, and nothing is deleted before its copy below
`quarantine/` is durable: so a repair that is killed at any point has made nothing worse, and the next one goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access.leases import Lease
from propolis.repository.format.entries import BackupId, Entry, lengths_of, segment_ids
from propolis.repository.format.index import PackedSegments, index_lines, write_index
from propolis.repository.format.names import INDEX_LIMIT, MANIFEST_LIMIT, hash_name, pack_name
from propolis.repository.format.rules import BackupRules
from propolis.repository.format.table import PackContents, SegmentTable
from propolis.repository.maintenance.check import Hit, Losses, ReadData
from propolis.repository.maintenance.salvage import Sources, Wanted, from_damaged_pack, from_stack, from_unknown_pack
from propolis.repository.maintenance.survey import Survey, load_manifest, survey
from propolis.repository.model import Observer
from propolis.repository.records.absent import absent
from propolis.repository.records.marks import read_marks
from propolis.repository.records.removals import record_removals
from propolis.repository.repository import Repository
from propolis.repository.storage.kinds import QUARANTINE
from propolis.repository.write.packing import Packer

_INDEXED_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class RepairResult:
    """What a repair did, or would do (`planned`)."""

    place: str
    planned: bool
    damaged: tuple[str, ...]
    """Objects that are missing or damaged, with what is wrong."""
    unreadable: tuple[str, ...]
    """Objects that are there and that the storage doesn't give: left alone, since that may pass."""
    quarantined: tuple[str, ...]
    """Objects moved below `quarantine/`."""
    lost_segments: int
    """Segments that backups need and that the repository didn't have whole."""
    from_packs: int
    """How many of them were found in damaged packs, or in packs that no index knew."""
    from_stack: int
    """How many were found in the stack's own files."""
    packs_made_known: int
    """Packs that no index knew and a new index describes."""
    stored_bytes: int
    """Bytes of new packs."""
    indexes: int
    """Indexes written."""
    losses: tuple[Hit, ...]
    """Backups that stay incomplete, and which of their files; without any, when the backup is lost as a whole."""
    remarks: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Every backup that the repository has, or had until a manifest was damaged, can be restored whole."""
        return not self.losses and not self.unreadable


def repair(
    repository: Repository,
    sources: Sources | None = None,
    *,
    plan: bool = False,
    read_data: ReadData | None = None,
    observer: Observer | None = None,
    lease: Lease | None = None,
    remembered: Mapping[BackupId, str] | None = None,
) -> RepairResult:
    """Check the repository and mend what can be mended; look at `ok` of the result.

    Lost segments are looked for in damaged packs and in packs no index knows (with an identity that opens packs),
    then in `sources`, the stack's own folders and buckets by tree. `read_data` tells which packs are read to find
    damage: without it only missing ones and those of a wrong size are found. `plan` changes nothing. Backups that
    must be there (`remembered`: also these, and how that is known) and aren't are given up: told once, then recorded
    as gone.
    To be called under an exclusive lease, which `lease` is, or for a plan under a shared one.
    Raises `RepositoryError` when the repository can't be read or written, or was opened without a key.
    """
    repository.require_key()  # refuses before anything is read
    found = survey(repository, read_data.choose if read_data else None, observer)
    work = _Repair(repository, found, plan)
    work.read_indexes()
    work.want()
    if repository.reads_packs:
        work.search_packs()
    elif work.wanted:
        found.remarks.append(
            "Damaged packs, and packs that no index knows, were not searched: "
            "that needs the recovery key (--identity)"
        )
    if sources and work.wanted:
        work.search_stack(sources)
    work.store()
    indexes, quarantined = 0, tuple(work.aside())
    missing = work.missing(remembered or {})
    if not plan:
        if lease is not None:
            lease.check()
        indexes = work.write_indexes()
        if lease is not None:
            lease.check()
        quarantined = tuple(work.move_aside())
        if lease is not None:
            work.give_up(missing, quarantined, lease)
    damaged = {pack_name(digest): what for digest, what in found.packs.items()} | found.problems | work.broken
    return RepairResult(
        place=repository.storage.place,
        planned=plan,
        damaged=tuple(what if name in what else f"{name}: {what}" for name, what in sorted(damaged.items())),
        unreadable=tuple(
            what if name in what else f"{name}: {what}" for name, what in sorted(found.unreadable.items())
        ),
        quarantined=quarantined,
        lost_segments=work.lost,
        from_packs=work.from_packs,
        from_stack=work.from_stack,
        packs_made_known=len(work.made_known),
        stored_bytes=sum(item.pack.stored for item in work.packed),
        indexes=indexes,
        losses=(*work.losses(), *(Hit(id, 0, ()) for id in missing)),
        remarks=tuple(found.remarks),
    )


class _Repair:
    def __init__(self, repository: Repository, found: Survey, plan: bool) -> None:
        self._repository, self._found = repository, found
        self.wanted: Wanted = {}
        self.broken: dict[str, str] = {}
        """Manifests that break a rule of the format: their backups can't be restored."""
        self.lost = self.from_packs = self.from_stack = 0
        self.made_known: list[PackedSegments] = []
        self.packed: list[PackedSegments] = []
        """New packs with what was found."""
        self._packer = None if plan else _packer(repository, self.packed)
        self._good = SegmentTable()
        self._stale: dict[str, list[PackedSegments]] = {}
        """Indexes that describe damaged packs → the others that they describe"""

    def read_indexes(self) -> None:
        """The table of what lies in whole packs, and the indexes that have to be written anew."""
        storage, key = self._repository.storage, self._repository.key
        for name in [item.name for item in self._repository.indexes()]:
            if name in self._found.problems or name in self._found.unreadable:
                continue
            stored = storage.get(name, INDEX_LIMIT)
            lines = index_lines(stored, self._repository.identities, key, name)
            self._good.add_index(_without(lines, self._found.packs.keys()), name)
            lines = index_lines(stored, self._repository.identities, key, name)
            if any(_pack_of(line) in self._found.packs for line in lines):
                own = SegmentTable()
                lines = index_lines(stored, self._repository.identities, key, name)
                own.add_index(_without(lines, self._found.packs.keys()), name)
                own.seal()
                contents = PackContents(own)
                self._stale[name] = [
                    PackedSegments(pack, contents.of(number)) for number, pack in enumerate(own.packs)
                ]
        self._good.seal()

    def want(self) -> None:
        """What backups need and no whole pack has."""
        step = self._repository.info.segment_bytes
        for entry in self._entries():
            for segment, length in lengths_of(entry, step):
                if segment not in self.wanted and self._good.find(segment) is None:
                    self.wanted[segment] = length
        self.lost = len(self.wanted)

    def search_packs(self) -> None:
        """Look in damaged packs, and in packs that no index knows."""
        if not self.wanted:
            return
        table = self._found.table
        contents = PackContents(table)
        present = {stored.name[-64:] for stored in self._repository.storage.list("packs")}
        before = len(self.wanted)
        for digest in sorted(present & self._found.packs.keys()):
            number = table.number(digest)
            if number is not None:
                from_damaged_pack(self._repository, table, contents, number, self.wanted, self._take)
        for digest in sorted(present):
            if table.number(digest) is None and self.wanted:
                packed = from_unknown_pack(self._repository, digest, self.wanted, self._good, self._take)
                if packed is not None and any(segment in self.wanted for segment, _, _ in packed.segments):
                    self.made_known.append(packed)
                    for segment, _, _ in packed.segments:
                        self.wanted.pop(segment, None)
        self.from_packs = before - len(self.wanted)

    def search_stack(self, sources: Sources) -> None:
        """Look where the files of the backups came from, newest backup first."""
        before = len(self.wanted)
        key, step = self._repository.key, self._repository.info.segment_bytes
        for id, name in reversed(self._found.manifests):
            manifest = load_manifest(self._repository, self._found, id, name) if self.wanted else None
            if manifest is not None:
                with self._recording(name):
                    from_stack(manifest, step, sources, self.wanted, self._take, key.segment_id)
        self.from_stack = before - len(self.wanted)

    def write_indexes(self) -> int:
        """Make new packs known, and write the indexes without damaged packs; how many."""
        storage = self._repository.storage
        storage.flush()
        new = [*self.packed, *self.made_known]
        groups = [new[start : start + _INDEXED_AT_ONCE] for start in range(0, len(new), _INDEXED_AT_ONCE)]
        groups += [kept for kept in self._stale.values() if kept]
        for group in groups:
            stored = write_index(group, self._repository.key, self._repository.ring.recipients())
            storage.put(f"indexes/{hash_name(stored)}", stored)
        storage.flush()
        return len(groups)

    def aside(self) -> Iterator[str]:
        """Names of the objects that are to be moved into quarantine."""
        yield from self._stale
        present = {stored.name for stored in self._repository.storage.list("packs")}
        yield from sorted(name for name in map(pack_name, self._found.packs) if name in present)
        for name in sorted(self._found.problems):
            if name.startswith(("indexes/", "manifests/", "parts/")):
                yield name

    def move_aside(self) -> Iterator[str]:
        """Copy each there; once the copies are durable, delete the originals."""
        storage = self._repository.storage
        moved = []
        for name in self.aside():
            try:
                stored = storage.get(name, MANIFEST_LIMIT)
            except (IntegrityError, RepositoryError) as error:
                self._found.remarks.append(f"{name} could not be moved: {error.what}")
                continue
            # By its bytes too: the same name may be put aside again some day, damaged otherwise.
            storage.put(f"{QUARANTINE}/{name}-{hash_name(stored)[:16]}", stored)
            moved.append(name)
        storage.flush()
        for name in moved:
            storage.delete(name)
            yield name
        storage.flush()

    def missing(self, remembered: Mapping[BackupId, str]) -> list[BackupId]:
        """Backups that must be there and aren't."""
        repository = self._repository
        backups = repository.listing().backups
        found, _ = absent(repository, backups, read_marks(repository), remembered)
        prefix = "manifests/"
        return [BackupId(it.object.removeprefix(prefix)) for it in found if it.object.startswith(prefix)]

    def give_up(self, missing: Iterable[BackupId], quarantined: Iterable[str], lease: Lease) -> None:
        """Record that these backups, and those whose manifests were put aside, are gone."""
        ids = {name: id for id, name in self._found.manifests}
        gone = {*missing, *(ids[name] for name in quarantined if name in ids)}
        if gone:
            record_removals(self._repository, gone, gone, lease)

    def losses(self) -> Iterator[Hit]:
        """What can't be restored after all."""
        ids = {name: id for id, name in self._found.manifests}
        gone = {**self._found.problems, **self._found.unreadable}
        yield from (Hit(ids[name], 0, ()) for name in sorted(gone | self.broken) if name in ids)
        counts: dict[BackupId, Hit] = {}
        if self.wanted:
            lost = Losses(self._found)
            for id, name in self._found.manifests:
                manifest = load_manifest(self._repository, self._found, id, name) if name not in gone else None
                with self._recording(name):
                    for entry in manifest.entries() if manifest is not None else ():
                        if any(segment in self.wanted for segment in segment_ids(entry.segments, name)):
                            lost.lose(name, id, entry)
            counts = {hit.backup: hit for name in ids for hit in lost.of(name)}
        yield from counts.values()

    @contextlib.contextmanager
    def _recording(self, name: str) -> Iterator[None]:
        """Go on with other backups after one whose entries can't be understood."""
        try:
            yield
        except IntegrityError as error:
            self.broken[name] = error.what

    def _entries(self) -> Iterator[Entry]:
        for id, name in self._found.manifests:
            manifest = load_manifest(self._repository, self._found, id, name)
            if manifest is None:
                continue
            with self._recording(name):
                rules = BackupRules(manifest.header)
                for entry in manifest.entries():
                    rules.take(entry)
                    yield entry

    def _take(self, segment: bytes, data: memoryview) -> None:
        del self.wanted[segment]
        if self._packer is not None:
            self._packer.add(segment, data)

    def store(self) -> None:
        """Store what was found and is not yet in a pack."""
        if self._packer is not None:
            self._packer.flush()


def _packer(repository: Repository, packed: list[PackedSegments]) -> Packer:
    info, recipients = repository.info, repository.ring.pack_recipients()
    return Packer(repository.storage, recipients, info.gather_bytes, info.segment_bytes, packed.append)


def _without(lines: Iterable[bytes], damaged: Collection[str]) -> Iterator[bytes]:
    """The lines of an index but for damaged packs and their segments."""
    passing = True
    for line in lines:
        pack = _pack_of(line)
        if pack is not None:
            passing = pack not in damaged
        if passing:
            yield line


def _pack_of(line: bytes) -> str | None:
    """The hash of the pack that an index's line describes; None if it is a segment's."""
    return line.split(b"\t", 2)[1].decode() if line.startswith(b"p\t") else None
