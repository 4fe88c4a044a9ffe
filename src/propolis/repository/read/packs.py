"""Opening packs: the stored bytes checked, decrypted and decompressed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import zstandard
from blake3 import blake3

from propolis.errors import IntegrityError
from propolis.repository.crypto import age
from propolis.repository.crypto.identities import Identity
from propolis.repository.format.index import Pack
from propolis.repository.format.names import MAX_SEGMENT_BYTES, misnamed, pack_name
from propolis.repository.io.direct import buffer
from propolis.repository.io.inflate import inflated
from propolis.repository.io.stream import Stream
from propolis.repository.model import Stats
from propolis.repository.storage.base import MissingObjectError, Storage


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
            raise IntegrityError(f"{name} is damaged: it holds {size} bytes instead of {pack.plain}")
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
