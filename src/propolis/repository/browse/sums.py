"""Which files of backups have a given SHA-256: every different content is read once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Sequence

from blake3 import blake3

from propolis.errors import IntegrityError
from propolis.repository.browse.diff import Fields
from propolis.repository.browse.find import FindResult, matching, readable
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import SEGMENTS, parse_entry
from propolis.repository.format.names import pack_name
from propolis.repository.format.table import PackContents, SegmentTable
from propolis.repository.io.parallel import side_by_side
from propolis.repository.model import BackupSummary, Observer, Stats
from propolis.repository.read.ledger import Texts
from propolis.repository.read.packs import PackOpener
from propolis.repository.read.segments import check_segment, positions
from propolis.repository.repository import Repository

_ZEROS = bytes(1 << 20)


def with_sum(
    repository: Repository,
    backups: Sequence[BackupSummary],
    sha256: str,
    stores: Collection[str],
    result: FindResult,
    observer: Observer | None = None,
) -> set[bytes]:
    """The segments, as an entry's field has them, of all contents with this SHA-256; mostly of one or none.

    Packs are read once, several side by side; files of several segments one after the other. What is damaged is put
    into the result. Raises `RepositoryError`, also without a key that opens packs.
    """
    repository.require_pack_key()
    search = _Search(repository, repository.load_table(), bytes.fromhex(sha256), result, observer)
    for _, manifest in readable(repository, backups, result):
        for fields in matching(manifest, b"", _has_content, stores):
            search.add(b"\t".join(fields), manifest.name)
    search.run()
    result.contents_read = search.read
    return search.found


class _Search:
    def __init__(
        self,
        repository: Repository,
        table: SegmentTable,
        wanted: bytes,
        result: FindResult,
        observer: Observer | None,
    ) -> None:
        self._repository, self._table, self._wanted = repository, table, wanted
        self._result, self._observer = result, observer
        self._lock = threading.Lock()
        self._stats = Stats()
        self._single = bytearray(len(table))
        """By position in the table: not 0 for the segments that are a whole file."""
        self._packs: set[int] = set()
        self._several = Texts()
        """Lines of files of several segments, or with holes."""
        self._known: set[bytes] = set()
        self.found: set[bytes] = set()
        self.read = 0
        self._size: int | None = None
        """Of what was found."""

    def add(self, line: bytes, name: str) -> None:
        """A file whose content is to be read, unless it is known from another; `name` is its manifest's."""
        entry = parse_entry(line, name)
        if len(entry.segments) == 64:
            position = self._table.position(bytes.fromhex(entry.segments.decode()))
            if position is not None:
                self._single[position] = 1
                self._packs.add(self._table.pack_of(position))
                return
        mark = blake3(entry.segments).digest(16)
        if mark not in self._known:
            self._known.add(mark)
            self._several.add(line)

    def run(self) -> None:
        """Read all."""
        contents = PackContents(self._table)

        def packs() -> Callable[[int], None]:
            opener = PackOpener(self._repository.storage, self._repository.identities, self._stats)
            return lambda number: self._pack(opener, contents, number)

        def files() -> Callable[[int], None]:
            opener = PackOpener(self._repository.storage, self._repository.identities, self._stats)
            return lambda number: self._file(opener, number)

        side_by_side(sorted(self._packs), packs)
        side_by_side(range(len(self._several)), files)

    def _pack(self, opener: PackOpener, contents: PackContents, number: int) -> None:
        if self.found:  # whole files of one segment that have the same bytes are the same segment
            return
        pack = self._table.packs[number]
        try:
            plain = opener.open(pack)
            for segment, offset, length in contents.of(number, self._single):
                data = check_segment(self._repository.key, plain, segment, offset, length, pack)
                self._hashed(hashlib.sha256(data).digest(), segment.hex().encode(), length)
        except IntegrityError as error:
            self._damaged(error, pack_name(pack.hash))
        self._tell()

    def _file(self, opener: PackOpener, number: int) -> None:
        entry = parse_entry(self._several[number], "A manifest")
        if self._size not in (None, entry.size):
            return
        try:
            digest = hashlib.sha256()
            done = 0
            for position, at in positions(self._table, entry):
                _fill(digest, at - done)
                segment, place = self._table.record(position)
                pack = self._table.packs[place.pack]
                plain = opener.open(pack)
                digest.update(check_segment(self._repository.key, plain, segment, place.offset, place.length, pack))
                done = at + place.length
            _fill(digest, entry.size - done)
            self._hashed(digest.digest(), entry.segments, entry.size)
        except IntegrityError as error:
            self._damaged(error, "packs")
        self._tell()

    def _hashed(self, digest: bytes, segments: bytes, size: int) -> None:
        with self._lock:
            self.read += 1
            if digest == self._wanted:
                self.found.add(segments)
                self._size = size

    def _damaged(self, error: IntegrityError, name: str) -> None:
        with self._lock:
            self._result.damaged.append(Finding(error.what, name))

    def _tell(self) -> None:
        if self._observer is not None:
            self._observer(self._stats)


def _has_content(fields: Fields) -> bool:
    return fields[0] in (b"f", b"o") and fields[SEGMENTS] != b"-"


def _fill(digest: hashlib._Hash, count: int) -> None:
    """Add a hole."""
    while count > 0:
        digest.update(_ZEROS[:count])
        count -= len(_ZEROS)
