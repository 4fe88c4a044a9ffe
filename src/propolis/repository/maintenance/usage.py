"""What of a repository is needed by its backups, also unfinished ones, in memory that grows by bytes a segment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from propolis.errors import IntegrityError
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import SEGMENTS, BackupId, segment_ids
from propolis.repository.format.index import Pack, PackedSegments, index_lines, parse_pack
from propolis.repository.format.names import INDEX_LIMIT, check_name, is_hash, pack_name
from propolis.repository.format.table import Place, SegmentTable
from propolis.repository.repository import Repository
from propolis.repository.storage.base import Stored
from propolis.repository.write.compose import load_part

_SEEN, _LIVE, _LOST = 1, 2, 4
_ALL_LIVE = re.compile(rb"[\x02\x03\x07]")
"""The marks with `_LIVE` in them."""


class Indexes:
    """The index objects, and which packs each of them knows."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.packs: dict[str, list[str]] = {}
        """index object → hashes of the packs in it"""
        self.sizes: dict[str, int] = {}

    def load(self) -> SegmentTable:
        """Every segment that they know; raises `IntegrityError` when one is damaged."""
        table = SegmentTable()
        for stored in sorted(self._repository.storage.list("indexes"), key=lambda stored: stored.name):
            if is_hash(stored.name.removeprefix("indexes/")):
                self.packs[stored.name] = []
                self.sizes[stored.name] = stored.size
                table.add_index(self._noting(stored.name), stored.name)
        table.seal()
        return table

    def contents(self, name: str) -> Iterator[PackedSegments]:
        """The packs in an index object, with their segments."""
        pack: Pack | None = None
        segments: list[tuple[bytes, int, int]] = []
        for line in self._lines(name):
            fields = line.split(b"\t")
            if fields[0] == b"p":
                if pack is not None:
                    yield PackedSegments(pack, segments)
                pack, segments = parse_pack(fields), []
            else:
                segments.append((bytes.fromhex(fields[1].decode()), int(fields[2]), int(fields[3])))
        if pack is not None:
            yield PackedSegments(pack, segments)

    def _lines(self, name: str) -> Iterator[bytes]:
        repository = self._repository
        stored = repository.storage.get(name, INDEX_LIMIT)
        check_name(name, stored)
        return index_lines(stored, repository.identities, repository.key, name)

    def _noting(self, name: str) -> Iterator[bytes]:
        for line in self._lines(name):
            if line.startswith(b"p\t"):
                self.packs[name].append(line.split(b"\t", 2)[1].decode("ascii", "replace"))
            yield line


class Usage:
    """Which segments, and how much of each pack, some backups need."""

    def __init__(
        self, repository: Repository, table: SegmentTable, backups: Iterable[BackupId], parts: Iterable[str] = ()
    ) -> None:
        """Reads the backups' manifests, and the parts of that name, whole; `IntegrityError` when one is damaged."""
        self.table = table
        self.stored: dict[str, Stored] = {
            stored.name: stored
            for stored in repository.storage.list("packs")
            if is_hash(stored.name[-64:]) and stored.name == pack_name(stored.name[-64:])
        }
        """The packs that are there, by name."""
        self.used = [0] * len(table.packs)
        """Needed plain bytes of each pack."""
        self.findings: list[Finding] = []
        """Backups that lack something."""
        self.unknown = False
        """Some backup needs segments that no index knows."""
        self._marks = bytearray(len(table))
        self._whole = [self._is_whole(pack) for pack in table.packs]
        for backup in backups:
            manifest = repository.manifest(backup)
            self._add(f"Backup {backup}", manifest.name, manifest.lines())
        for name in parts:
            self._add("A part of an unfinished backup", name, load_part(repository, name).lines())

    def live(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Every needed segment once: (ID, number of its pack, offset, length)."""
        for match in _ALL_LIVE.finditer(self._marks):
            segment, place = self.table.record(match.start())
            yield segment, place.pack, place.offset, place.length

    def is_whole(self, number: int) -> bool:
        """Whether the pack of that number is there, of the size that the index says."""
        return self._whole[number]

    def _is_whole(self, pack: Pack) -> bool:
        stored = self.stored.get(pack_name(pack.hash))
        return stored is not None and stored.size == pack.stored

    def _add(self, what: str, name: str, lines: Iterable[bytes]) -> None:
        unknown = lost = 0
        for line in lines:
            fields = line.split(b"\t", SEGMENTS + 1)
            if len(fields) <= SEGMENTS:
                raise IntegrityError(f"{name} is damaged: an entry can't be understood")
            for segment in segment_ids(fields[SEGMENTS], name):
                copies = self.table.copies(segment)
                if not copies:
                    unknown += 1
                    continue
                first = copies[0][0]
                if not self._marks[first] & _SEEN:
                    self._choose(first, copies)
                lost += bool(self._marks[first] & _LOST)
        if unknown:
            self.unknown = True
            self.findings.append(Finding(f"{what} needs {unknown} segments that no index knows", name))
        if lost:
            self.findings.append(Finding(f"{what} needs {lost} segments whose packs are missing or cut short", name))

    def _choose(self, first: int, copies: list[tuple[int, Place]]) -> None:
        """Mark the copy that is to stay: one whose pack is whole, where there is any."""
        whole = next((copy for copy in copies if self._whole[copy[1].pack]), None)
        position, place = whole or copies[0]
        self._marks[first] |= _SEEN if whole else _SEEN | _LOST
        self._marks[position] |= _LIVE
        self.used[place.pack] += place.length
