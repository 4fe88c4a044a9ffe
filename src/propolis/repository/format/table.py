"""Which segment lies where: the table made of all indexes.

It holds 44 bytes a segment, sorted, so that a million segments take 44 MB and a look-up a microsecond.
"""

from __future__ import annotations

import array
import itertools
import struct
import threading
from binascii import unhexlify
from collections.abc import Iterable, Iterator

import msgspec

from propolis.errors import IntegrityError
from propolis.repository.format.damage import Finding
from propolis.repository.format.index import SEGMENT_ID, Pack, parse_pack

_TAIL = struct.Struct(">III")


_RECORD = SEGMENT_ID + _TAIL.size


_FEW = 4096
"""Up to so many segments are found by the first byte of their ID, more by the first two."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a segment's plain bytes are."""

    pack: int
    """Number of the pack in the table."""
    offset: int
    length: int


class SegmentTable:
    """All segments of a repository. Reading from several threads is safe, and so is `claim`."""

    def __init__(self) -> None:
        self.packs: list[Pack] = []
        self.damaged: list[Finding] = []
        """Indexes that can't be used: what only they know isn't in here."""
        self._numbers: dict[str, int] = {}
        self._unsorted = [bytearray() for _ in range(256)]
        """Records by the first byte of their ID: sorting them a few at a time spares memory."""
        self._table = bytearray()
        self._starts = array.array("I", bytes(4 * 257))
        self._shift = 8
        self._claimed: set[bytes] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._table) // _RECORD

    def add_index(self, lines: Iterable[bytes], name: str) -> None:
        """Take in the lines of an index object; `seal` must follow the last one."""
        number = -1
        plain = 0
        pack_tail = _TAIL.pack
        for line in lines:
            fields = line.split(b"\t")
            try:
                if fields[0] == b"s":
                    offset, length = int(fields[2]), int(fields[3])
                    segment = unhexlify(fields[1])
                    if number < 0 or len(segment) != SEGMENT_ID or offset < 0 or not 0 < length <= plain - offset:
                        raise ValueError
                    self._unsorted[segment[0]] += segment + pack_tail(number, offset, length)
                else:
                    pack = parse_pack(fields)
                    plain = pack.plain
                    number = self._number(pack)
            except (ValueError, IndexError, UnicodeDecodeError, struct.error):
                raise IntegrityError(f"{name} is damaged: a line can't be understood") from None

    def seal(self) -> None:
        """Make what was added findable."""
        for records in self._unsorted:
            self._table += b"".join(
                sorted([bytes(records[at : at + _RECORD]) for at in range(0, len(records), _RECORD)])
            )
            records.clear()
        shift = self._shift = 0 if len(self) > _FEW else 8
        starts = array.array("I", bytes(4 * ((1 << (16 - shift)) + 1)))
        for start in range(0, len(self._table), _RECORD):
            starts[((self._table[start] << 8 | self._table[start + 1]) >> shift) + 1] += 1
        self._starts = array.array("I", itertools.accumulate(starts))

    def find(self, segment: bytes) -> Place | None:
        """Where a segment is; None when the repository has no such segment."""
        found = self.position(segment)
        return None if found is None else Place(*_TAIL.unpack_from(self._table, found * _RECORD + SEGMENT_ID))

    def position(self, segment: bytes) -> int | None:
        """A segment's position among the `records`; None when the repository has no such segment."""
        bucket = (segment[0] << 8 | segment[1]) >> self._shift
        start = self._starts[bucket] * _RECORD
        found = self._table.find(segment, start, self._starts[bucket + 1] * _RECORD)
        if found < 0 or (found - start) % _RECORD:
            return None
        return found // _RECORD

    def copies(self, segment: bytes) -> list[tuple[int, Place]]:
        """Everywhere a segment is: position among the `records`, and place."""
        first = self.position(segment)
        copies = []
        while first is not None and first < len(self):
            found, place = self.record(first)
            if found != segment:
                break
            copies.append((first, place))
            first += 1
        return copies

    def number(self, digest: str) -> int | None:
        """The number of the pack of that hash; None when no index knows it."""
        return self._numbers.get(digest)

    def records(self) -> Iterator[tuple[bytes, Place]]:
        """Every segment and where it is, sorted by segment; one that is in several packs comes several times."""
        return map(self.record, range(len(self)))

    def record(self, number: int) -> tuple[bytes, Place]:
        """The segment at a position of that order."""
        start = number * _RECORD
        return bytes(self._table[start : start + SEGMENT_ID]), Place(
            *_TAIL.unpack_from(self._table, start + SEGMENT_ID)
        )

    def pack_of(self, number: int) -> int:
        """The number of the pack that holds the segment at a position."""
        return int.from_bytes(self._table[number * _RECORD + SEGMENT_ID : number * _RECORD + SEGMENT_ID + 4], "big")

    def claim(self, segment: bytes) -> bool:
        """Whether the caller has to store this segment: nobody stored or claimed it before."""
        if self.find(segment) is not None:
            return False
        with self._lock:
            if segment in self._claimed:
                return False
            self._claimed.add(segment)
            return True

    def knows(self, segment: bytes) -> bool:
        """Whether it is stored, or being stored by this run."""
        return self.find(segment) is not None or segment in self._claimed

    def _number(self, pack: Pack) -> int:
        number = self._numbers.get(pack.hash)
        if number is None:
            number = self._numbers[pack.hash] = len(self.packs)
            self.packs.append(pack)
        return number


class ByPack:
    """Numbers of things, by the pack that each is in. It takes 4 bytes a thing and 8 a pack."""

    def __init__(self, packs: array.array[int], count: int) -> None:
        """`packs` has each thing's pack; `count` is how many packs there are."""
        self._starts = starts = array.array("Q", bytes(8 * (count + 2)))
        for pack in packs:
            starts[pack + 2] += 1
        self.needed = [number - 2 for number in range(2, len(starts)) if starts[number]]
        """The packs that anything is in."""
        for number in range(2, len(starts)):
            starts[number] += starts[number - 1]
        self._order = array.array("I", bytes(4 * len(packs)))
        for thing, pack in enumerate(packs):
            self._order[starts[pack + 1]] = thing
            starts[pack + 1] += 1

    def of(self, pack: int) -> array.array[int]:
        """The things in a pack."""
        return self._order[self._starts[pack] : self._starts[pack + 1]]


class PackContents:
    """A sealed table's segments by pack."""

    def __init__(self, table: SegmentTable) -> None:
        self._table = table
        self._records = ByPack(array.array("I", map(table.pack_of, range(len(table)))), len(table.packs))

    def of(self, number: int, wanted: bytearray | None = None) -> list[tuple[bytes, int, int]]:
        """(ID, offset, length) of a pack's segments by offset: all, or those whose position isn't 0 in `wanted`."""
        records = self._records.of(number)
        found = (self._table.record(record) for record in records if wanted is None or wanted[record])
        return sorted(((id, place.offset, place.length) for id, place in found), key=lambda item: item[1])
