"""Rewrites packs of which little is needed: what is needed moves to new packs."""

from __future__ import annotations

from collections.abc import Sequence

from propolis.errors import IntegrityError
from propolis.repository.format.damage import Finding
from propolis.repository.format.index import Codec, Pack, PackedSegments
from propolis.repository.format.names import MAX_SEGMENT_BYTES, pack_name
from propolis.repository.io.direct import buffer
from propolis.repository.model import Stats
from propolis.repository.read.packs import PackOpener
from propolis.repository.read.segments import check_segment
from propolis.repository.repository import Repository
from propolis.repository.write.packing import PackMaker

Segments = Sequence[tuple[bytes, int, int]]
"""(ID, offset, length)"""


class Repacker:
    """Moves segments into new packs, each checked before. Not for several threads."""

    def __init__(self, repository: Repository) -> None:
        repository.require_pack_key()
        self._key = repository.key
        self._full = repository.info.gather_bytes
        self._opener = PackOpener(repository.storage, repository.identities, Stats())
        self._maker = PackMaker(repository.storage, repository.ring.pack_recipients(), MAX_SEGMENT_BYTES)
        self._gathers: dict[Codec, _Gather] = {"plain": _Gather(2 * self._full), "zstd": _Gather(2 * self._full)}
        self.packed: list[PackedSegments] = []
        """The new packs."""
        self.findings: list[Finding] = []
        """Packs that are damaged and were left."""

    def move(self, pack: Pack, segments: Segments) -> bool:
        """Take over these segments of a pack; False when the pack is damaged, then none is."""
        try:
            plain = self._opener.check_and_open(pack)
            pieces = [
                (segment, check_segment(self._key, plain, segment, offset, length, pack))
                for segment, offset, length in segments
            ]
        except IntegrityError as error:
            self.findings.append(Finding(str(error), pack_name(pack.hash)))
            return False
        for segment, data in pieces:
            self._keep(pack.codec, segment, data)
        return True

    def finish(self) -> list[PackedSegments]:
        """Store what is gathered; the packs made since the last call. They are durable after a `flush`."""
        for codec in self._gathers:
            self._store(codec)
        packed, self.packed = self.packed, []
        return packed

    def _keep(self, codec: Codec, segment: bytes, data: memoryview) -> None:
        size = len(data)
        if size > self._full:
            self.packed.append(self._maker.store(data, [(segment, 0, size)], codec))
            return
        gather = self._gathers[codec]
        gather.buffer[gather.filled : gather.filled + size] = data
        gather.segments.append((segment, gather.filled, size))
        gather.filled += size
        if gather.filled >= self._full:
            self._store(codec)

    def _store(self, codec: Codec) -> None:
        gather = self._gathers[codec]
        if gather.segments:
            plain = gather.buffer[: gather.filled]
            self.packed.append(self._maker.store(plain, tuple(gather.segments), codec))
        gather.segments, gather.filled = [], 0


class _Gather:
    """A pack in the making."""

    def __init__(self, capacity: int) -> None:
        self.buffer = buffer(capacity)
        self.filled = 0
        self.segments: list[tuple[bytes, int, int]] = []
