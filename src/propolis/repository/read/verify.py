"""Checks a backup: manifest and indexes, presence of packs, their stored bytes, and with the key all content."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId, segment_ids
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.names import pack_name
from propolis.repository.format.rules import BackupRules, label
from propolis.repository.format.table import PackContents, SegmentTable
from propolis.repository.io.parallel import side_by_side
from propolis.repository.model import Observer, Stats, VerifyLevel, VerifyResult
from propolis.repository.read.packs import PackOpener, check_pack
from propolis.repository.read.segments import check_segment, positions
from propolis.repository.repository import Repository

_SHOWN = 20
_FINDINGS = 1000


def verify(
    repository: Repository,
    id: BackupId,
    level: VerifyLevel = "manifest",
    *,
    sample: float = 10.0,
    observer: Observer | None = None,
) -> VerifyResult:
    """Check a backup; look at `ok` of the result.

    `manifest`: manifest and indexes are whole and genuine, every segment is known and every pack has its expected
    size. `sample`: also reads `sample` percent of the packs, chosen at random (one at least). `full`: reads them all.
    Packs read are compared with their names and, when an identity opens them, decrypted and every segment's content
    checked. What is damaged is in the result; raises `RepositoryError` when the repository can't be read at all.
    """
    try:
        manifest = repository.manifest(id)
        table = repository.load_table()
    except IntegrityError as error:
        return VerifyResult(
            id=id,
            level=level,
            files=0,
            bytes=0,
            packs=0,
            packs_read=0,
            stored_bytes_read=0,
            decrypted=False,
            findings=(Finding(error.what, "manifests or indexes"),),
        )
    check = _Check(repository, manifest, table, observer)
    check.structure()
    check.presence()
    chosen = sorted(check.packs)
    if level == "manifest":
        chosen = []
    elif level == "sample" and chosen:
        count = min(len(chosen), max(1, round(len(chosen) * sample / 100)))
        chosen = random.SystemRandom().sample(chosen, count)
    decrypted = repository.reads_packs and bool(chosen)
    try:
        check.read([number for number in chosen if number not in check.damaged])
    except RepositoryError as error:
        # What was found until then must not be lost; with nothing found, this is no result.
        if not check.findings and not check.damaged:
            raise
        check.findings.append(Finding(f"The verification could not be finished: {error.what}", "the storage"))
    check.name_entries()
    return VerifyResult(
        id=id,
        level=level,
        files=check.files,
        bytes=check.bytes,
        packs=len(check.packs),
        packs_read=check.stats.packs,
        stored_bytes_read=check.stats.read,
        decrypted=decrypted,
        findings=tuple(check.findings),
        remarks=tuple(
            f"{found.what} ({found.object}); data that only it lists can't be restored" for found in table.damaged
        ),
        hosts=manifest.header.hosts,
    )


class _Check:
    def __init__(
        self, repository: Repository, manifest: Manifest, table: SegmentTable, observer: Observer | None
    ) -> None:
        self._repository, self._manifest, self._table, self._observer = repository, manifest, table, observer
        self._lock = threading.Lock()
        self.stats = Stats()
        self.findings: list[Finding] = []
        self.wanted = bytearray(len(table))
        """By position in the table: not 0 for the segments that the backup has."""
        self.packs: set[int] = set()
        """Numbers of the packs that they are in."""
        self.damaged: dict[int, str] = {}
        self.files = 0
        self.bytes = 0

    def structure(self) -> None:
        """Every entry keeps the rules that a restore asks for, and every segment is known."""
        name = self._manifest.name
        try:
            rules = BackupRules(self._manifest.header)
            for entry in self._manifest.entries():
                try:
                    rules.take(entry)
                    found = positions(self._table, entry)
                except IntegrityError as error:
                    self._found(error.what, name, (label(entry),), 1)
                    continue
                for position, _ in found:
                    self.wanted[position] = 1
                    self.packs.add(self._table.pack_of(position))
        except IntegrityError as error:
            # Nothing after an entry that can't be understood can be restored either.
            self._found(error.what, name)
            return
        for tree in rules.trees():
            self.files += tree.files
            self.bytes += tree.bytes
            try:
                tree.end()
            except IntegrityError as error:
                self._found(error.what, name)

    def presence(self) -> None:
        """Every pack is there, with the size that the index states."""
        sizes = {stored.name: stored.size for stored in self._repository.storage.list("packs")}
        for number in self.packs:
            pack = self._table.packs[number]
            size = sizes.get(pack_name(pack.hash))
            if size is None:
                self._damage(number, f"{pack_name(pack.hash)} is missing")
            elif size != pack.stored:
                self._damage(number, f"{pack_name(pack.hash)} has {size} bytes instead of {pack.stored}")

    def read(self, numbers: list[int]) -> None:
        """Read these packs whole and check what can be checked."""

        contents = PackContents(self._table)

        def make() -> Callable[[int], None]:
            opener = PackOpener(self._repository.storage, self._repository.identities, self.stats)
            return lambda number: self._read(opener, contents, number)

        side_by_side(numbers, make)

    def name_entries(self) -> None:
        """Turn damaged packs into findings that name the files they hit."""
        if not self.damaged:
            return
        hit: dict[int, list[str]] = {number: [] for number in self.damaged}
        counts = dict.fromkeys(self.damaged, 0)
        with contextlib.suppress(IntegrityError):  # which `structure` has told of
            for entry in self._manifest.entries():
                found = (self._table.find(segment) for segment in segment_ids(entry.segments, self._manifest.name))
                for number in {place.pack for place in found if place is not None} & self.damaged.keys():
                    counts[number] += 1
                    if len(hit[number]) < _SHOWN:
                        hit[number].append(label(entry))
        for number, what in self.damaged.items():
            self._found(what, pack_name(self._table.packs[number].hash), tuple(hit[number]), counts[number])

    def _read(self, opener: PackOpener, contents: PackContents, number: int) -> None:
        pack = self._table.packs[number]
        try:
            if self._repository.reads_packs:
                plain = opener.check_and_open(pack)
                for segment, offset, length in contents.of(number, self.wanted):
                    check_segment(self._repository.key, plain, segment, offset, length, pack)
            else:
                check_pack(self._repository.storage, pack.hash, pack.stored, self.stats)
        except IntegrityError as error:
            self._damage(number, error.what)
        if self._observer is not None:
            self._observer(self.stats)

    def _damage(self, number: int, what: str) -> None:
        with self._lock:
            self.damaged[number] = what

    def _found(self, what: str, name: str, entries: tuple[str, ...] = (), hit: int = 0) -> None:
        if len(self.findings) < _FINDINGS:
            self.findings.append(Finding(what, name, entries, hit))
