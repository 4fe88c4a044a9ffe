"""Packs: several segments, compressed where it pays, encrypted, in one object named by its hash."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import zstandard
from blake3 import blake3

from propolis.errors import IntegrityError
from propolis.repository import age
from propolis.repository.direct import buffer
from propolis.repository.index import Codec, Pack, PackedSegments
from propolis.repository.inflate import inflated
from propolis.repository.keys import Identity, Recipient
from propolis.repository.layout import MAX_SEGMENT_BYTES, misnamed, pack_name
from propolis.repository.model import Stats
from propolis.repository.storage import MissingObjectError, Storage
from propolis.repository.stream import Stream

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


def check_pack(storage: Storage, digest: str, limit: int, stats: Stats) -> None:
    """Compare a pack's stored bytes with its name, without any key.

    Raises `IntegrityError` when they differ, or are more than `limit`.
    """
    hasher = blake3()
    name = pack_name(digest)
    with storage.stream(name, limit) as stored:
        for piece in stored.pieces:
            hasher.update(piece)
    stats.add(packs=1, read=stored.size)
    if hasher.hexdigest() != digest:
        raise misnamed(name)


class PackOpener:
    """Reads packs and counts them. Not for several threads; what it returns is valid until the next call."""

    def __init__(self, storage: Storage, identities: Sequence[Identity], stats: Stats) -> None:
        self._storage = storage
        self._identities = identities
        self._stats = stats
        self._plain = memoryview(b"")

    def open(self, pack: Pack) -> memoryview:
        """Its plain bytes, exactly as many as the index says. Segments are the caller's to check."""
        with self._stored(pack) as stored:
            return self._open(pack, stored)

    def check_and_open(self, pack: Pack) -> memoryview:
        """The same, after its stored bytes were compared with its name: the first thing that is said of damage."""
        hasher = blake3()

        def hashed(pieces: Iterable[memoryview]) -> Iterator[memoryview]:
            for piece in pieces:
                hasher.update(piece)
                yield piece

        with self._stored(pack) as stored:
            pieces = hashed(stored.pieces)
            failed: IntegrityError | None = None
            try:
                plain = self._open(pack, Stream(stored.size, pieces))
            except IntegrityError as error:
                failed = error
            for _ in pieces:
                pass
        if hasher.hexdigest() != pack.hash and not isinstance(failed, MissingObjectError):
            raise misnamed(pack_name(pack.hash))
        if failed is not None:
            raise failed
        return plain

    @contextlib.contextmanager
    def _stored(self, pack: Pack) -> Iterator[Stream]:
        """A pack's stored bytes, of exactly the size that the index says."""
        name = pack_name(pack.hash)
        with self._storage.stream(name, pack.stored) as stored:
            if stored.size != pack.stored:
                raise IntegrityError(
                    f"{name} is cut short: it has {stored.size} of {pack.stored} bytes",
                    next="Use another backup or a copy of the repository",
                )
            yield stored
        self._stats.add(packs=1, read=stored.size)

    def _open(self, pack: Pack, stored: Stream) -> memoryview:
        if len(self._plain) < pack.plain:
            self._plain = buffer(pack.plain)
        name = pack_name(pack.hash)
        plain = self._plain[: pack.plain]
        if pack.codec == "plain":
            size = age.open_into(stored, self._identities, plain, name)
        else:
            size = self._inflate(stored, plain, name)
        if size != pack.plain:
            raise IntegrityError(f"{name} is damaged: it holds {size} bytes where {pack.plain} belong")
        return plain

    def _inflate(self, stored: Stream, plain: memoryview, name: str) -> int:
        pieces = age.open_pieces(stored, self._identities, name)
        done = 0
        try:
            with inflated(pieces, MAX_SEGMENT_BYTES) as reader:
                while done < len(plain):
                    count = reader.readinto(plain[done : done + (1 << 20)])
                    if not count:
                        break
                    done += count
                if reader.read(1):
                    raise IntegrityError(f"{name} is damaged: it holds more than {len(plain)} bytes")
        except zstandard.ZstdError:
            raise IntegrityError(f"{name} is damaged: it can't be decompressed") from None
        return done
