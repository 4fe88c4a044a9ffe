"""Rewrites packs of which little is needed: what is needed moves to new packs."""

from __future__ import annotations

from collections.abc import Sequence

from propolis.errors import IntegrityError
from propolis.repository.format.damage import Finding
from propolis.repository.format.index import Pack, PackedSegments
from propolis.repository.format.names import MAX_SEGMENT_BYTES, pack_name
from propolis.repository.model import Stats
from propolis.repository.read.packs import PackOpener
from propolis.repository.read.segments import check_segment
from propolis.repository.repository import Repository
from propolis.repository.write.packing import Packer

Segments = Sequence[tuple[bytes, int, int]]
"""(ID, offset, length)"""


class Repacker:
    """Moves segments into new packs, each checked before. Not for several threads."""

    def __init__(self, repository: Repository) -> None:
        repository.require_pack_key()
        self._key = repository.key
        self._opener = PackOpener(repository.storage, repository.identities, Stats())
        self.packed: list[PackedSegments] = []
        """New packs since the last `finish`."""
        self._packer = Packer(
            repository.storage,
            repository.ring.pack_recipients(),
            repository.info.gather_bytes,
            MAX_SEGMENT_BYTES,
            self.packed.append,
        )
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
            self.findings.append(Finding(error.what, pack_name(pack.hash)))
            return False
        for segment, data in pieces:
            self._packer.add(segment, data, pack.codec)
        return True

    def finish(self) -> list[PackedSegments]:
        """Store what is gathered; the packs made since the last call. They are durable after a `flush`."""
        self._packer.flush()
        packed = list(self.packed)
        self.packed.clear()
        return packed
