"""What is to be restored, of a million files too: held in arrays, without an object for each file."""

from __future__ import annotations

import array
from collections.abc import Sequence

import msgspec

from propolis.filesystem.attributes import Attributes
from propolis.repository.format.table import ByPack, Place, SegmentTable
from propolis.repository.read.target import Properties
from propolis.s3.objects import ObjectMeta

_SECOND = 10**9
_Rights = tuple[int, int, int, Attributes]


class Texts:
    """Byte strings by number, in their own length and 8 bytes each."""

    def __init__(self) -> None:
        self._joined = bytearray()
        self._ends = array.array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        return bytes(self._joined[self._ends[number] : self._ends[number + 1]])

    def add(self, text: bytes) -> int:
        """The text's number."""
        self._joined += text
        self._ends.append(len(self._joined))
        return len(self._ends) - 2


class Files:
    """Files to write, by number: path, size, and what they get once they are whole."""

    def __init__(self) -> None:
        self.paths = Texts()
        self.sizes = array.array("Q")
        self.missing = array.array("I")
        """Pieces still to be written."""
        self._seconds = array.array("q")
        self._nanoseconds = array.array("I")
        self._rights = array.array("I")
        self._known: dict[_Rights, int] = {}
        self._all: list[_Rights] = []

    def add(self, path: bytes, size: int, properties: Properties, pieces: int) -> int:
        """The file's number."""
        rights = (properties.mode, properties.uid, properties.gid, properties.attributes)
        number = self._known.setdefault(rights, len(self._all))
        if number == len(self._all):
            self._all.append(rights)
        self._rights.append(number)
        seconds, nanoseconds = divmod(properties.mtime_ns, _SECOND)
        self._seconds.append(seconds)
        self._nanoseconds.append(nanoseconds)
        self.sizes.append(size)
        self.missing.append(pieces)
        return self.paths.add(path)

    def properties(self, number: int) -> Properties:
        """What a file gets besides its bytes."""
        mode, uid, gid, attributes = self._all[self._rights[number]]
        mtime_ns = self._seconds[number] * _SECOND + self._nanoseconds[number]
        return Properties(mode, (uid, gid), mtime_ns, attributes)


class Part(msgspec.Struct, gc=False):
    """A segment and where in a file its bytes go."""

    segment: bytes
    place: Place
    file: int
    at: int


class Parts:
    """Which segment goes where, for one pack after another. It takes 24 bytes a part."""

    def __init__(self, table: SegmentTable) -> None:
        self._table = table
        self._records = array.array("I")
        self._files = array.array("I")
        self._at = array.array("Q")
        self._packs = array.array("I")
        self._by_pack = ByPack(self._packs, 0)

    def add(self, record: int, file: int, at: int) -> None:
        """The segment at this position of the table belongs into a file, at an offset."""
        self._records.append(record)
        self._files.append(file)
        self._at.append(at)
        self._packs.append(self._table.pack_of(record))

    def seal(self) -> list[int]:
        """Sort what was added; the numbers of the packs that are needed."""
        self._by_pack = ByPack(self._packs, len(self._table.packs))
        return self._by_pack.needed

    def of(self, pack: int) -> list[Part]:
        """What a pack holds of the files, in its order."""
        parts = [
            Part(*self._table.record(self._records[number]), self._files[number], self._at[number])
            for number in self._by_pack.of(pack)
        ]
        return sorted(parts, key=lambda part: part.place.offset)


class Objects:
    """Objects of a bucket and their segments, by number; each is in the group of the pack that its bytes begin in."""

    def __init__(self, table: SegmentTable) -> None:
        self._table = table
        self._metas = Texts()
        self._records = array.array("I")
        self._ends = array.array("Q", [0])
        self._packs = array.array("I")
        self._by_pack = ByPack(self._packs, 0)
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._metas)

    def add(self, meta: ObjectMeta, records: Sequence[int]) -> None:
        """An object whose bytes are the segments at these positions of the table."""
        self._metas.add(msgspec.json.encode(meta))
        self._records.extend(records)
        self._ends.append(len(self._records))
        # One without bytes is in no pack: it is put into the group after the last.
        self._packs.append(self._table.pack_of(records[0]) if records else len(self._table.packs))
        self.bytes += meta.size

    def seal(self) -> list[int]:
        """Sort what was added; the groups."""
        self._by_pack = ByPack(self._packs, len(self._table.packs) + 1)
        return self._by_pack.needed

    def of(self, group: int) -> array.array[int]:
        """The numbers of a group's objects."""
        return self._by_pack.of(group)

    def get(self, number: int) -> tuple[ObjectMeta, list[tuple[bytes, Place]]]:
        """An object and its segments, in order."""
        records = self._records[self._ends[number] : self._ends[number + 1]]
        meta = msgspec.json.decode(self._metas[number], type=ObjectMeta)
        return meta, [self._table.record(record) for record in records]
