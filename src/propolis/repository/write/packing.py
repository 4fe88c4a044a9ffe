"""Making packs: several segments, compressed where it pays, encrypted, in one object named by its hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import zstandard
from blake3 import blake3

from propolis.repository.crypto import age
from propolis.repository.crypto.identities import Recipient
from propolis.repository.format.index import Codec, Pack, PackedSegments
from propolis.repository.format.names import pack_name
from propolis.repository.io.direct import buffer
from propolis.repository.storage.base import Storage

_LEVEL = 1
_SAMPLE = 8 << 10


class Compressibility:
    """Says whether bytes are worth compressing, by compressing a little of them."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def worth(self, data: memoryview) -> bool:
        """True when samples of `data` shrink by a tenth or more."""
        size = len(data)
        if size <= 3 * _SAMPLE:
            starts: Sequence[int] = (max(0, size // 2 - _SAMPLE // 2),)
        else:
            starts = (size // 8, size // 2, size - size // 8 - _SAMPLE)
        samples = [data[start : start + _SAMPLE] for start in starts]
        packed = sum(len(self._compressor.compress(sample)) for sample in samples)
        return packed < 0.9 * sum(len(sample) for sample in samples)


class PackMaker:
    """Turns plain bytes into a stored pack. Not for several threads; its output buffer is used again and again."""

    def __init__(
        self,
        storage: Storage,
        recipients: Sequence[Recipient],
        segment_bytes: int,
        pace: Callable[[int], object] | None = None,
    ) -> None:
        """`pace` is called with a pack's stored size before it is sent; it may wait."""
        self._storage = storage
        self._pace = pace
        self._recipients = recipients
        # zstd may grow what it can't shrink, by less than 1 in 256.
        worst = age.sealed_size(segment_bytes + segment_bytes // 256 + 1024, len(recipients))
        self._out = buffer(worst)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def store(self, plain: memoryview, segments: Sequence[tuple[bytes, int, int]], codec: Codec) -> PackedSegments:
        """Write a pack of these plain bytes; `segments` are (ID, offset, length)."""
        hasher = blake3()
        pieces = self._compressed(plain) if codec == "zstd" else age.slices(plain)
        size = age.seal(pieces, self._recipients, self._out, hasher)
        digest = hasher.hexdigest()
        if self._pace is not None:
            self._pace(size)
        self._storage.put(pack_name(digest), self._out[:size])
        return PackedSegments(Pack(digest, size, len(plain), codec), tuple(segments))

    def _compressed(self, plain: memoryview) -> Iterator[bytes]:
        chunker = self._compressor.chunker(size=len(plain), chunk_size=age.CHUNK)
        for start in range(0, len(plain), 1 << 20):
            yield from chunker.compress(plain[start : start + (1 << 20)])
        yield from chunker.finish()  # type: ignore[no-untyped-call]


class Packer:
    """Puts segments into packs: a large one alone, small ones together. Not for several threads.

    It has no more in memory than a pack in the making for each codec, and one stored.
    """

    def __init__(
        self,
        storage: Storage,
        recipients: Sequence[Recipient],
        gather_bytes: int,
        largest: int,
        packed: Callable[[PackedSegments], None],
        pace: Callable[[int], object] | None = None,
    ) -> None:
        """`gather_bytes` fill a pack, `largest` is the size of the largest segment; `packed` takes every pack stored.

        `pace`: see `PackMaker`.
        """
        self._full = gather_bytes
        self._small = gather_bytes // 2
        self._packed = packed
        capacity = self._full + self._small
        self._gathers: dict[Codec, _Gather] = {
            "plain": _Gather("plain", capacity),
            "zstd": _Gather("zstd", capacity),
        }
        self._maker = PackMaker(storage, recipients, max(largest, capacity), pace)
        self._judge = Compressibility()

    def room(self, size: int) -> memoryview | None:
        """Where a small segment can be put by the caller, so that `add` needn't copy it; None for a large one."""
        gather = self._gathers["plain"]
        return gather.buffer[gather.filled :] if size <= self._small else None

    def add(self, segment: bytes, data: memoryview, codec: Codec | None = None) -> None:
        """Store a segment's plain bytes, now or soon; `codec` None: find out whether compressing pays."""
        size = len(data)
        codec = codec or ("zstd" if self._judge.worth(data) else "plain")
        if size > self._small:
            self._packed(self._maker.store(data, [(segment, 0, size)], codec))
            return
        gather = self._gathers[codec]
        if data.obj is not gather.buffer.obj:
            gather.buffer[gather.filled : gather.filled + size] = data
        gather.segments.append((segment, gather.filled, size))
        gather.filled += size
        if gather.filled >= self._full:
            self._close(gather)

    def flush(self) -> None:
        """Store the packs in the making."""
        for gather in self._gathers.values():
            self._close(gather)

    def _close(self, gather: _Gather) -> None:
        if gather.segments:
            self._packed(self._maker.store(gather.buffer[: gather.filled], gather.segments, gather.codec))
        gather.segments = []
        gather.filled = 0


class _Gather:
    """A pack in the making."""

    def __init__(self, codec: Codec, capacity: int) -> None:
        self.codec = codec
        self.buffer = buffer(capacity)
        self.filled = 0
        self.segments: list[tuple[bytes, int, int]] = []
