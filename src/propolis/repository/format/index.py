"""Index objects: which packs there are, and which segments they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from propolis.repository.crypto.identities import Identity, Recipient
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.format.names import FORMAT, MAX_SEGMENT_BYTES, is_hash
from propolis.repository.format.text import TextWriter, read_lines

Codec = Literal["zstd", "plain"]
SEGMENT_ID = 32
"""Bytes of a segment's ID."""


class Pack(msgspec.Struct, frozen=True, gc=False):
    """One pack as indexes describe it."""

    hash: str
    stored: int
    """Bytes of the object."""
    plain: int
    """Bytes of its segments together."""
    codec: Codec


class PackedSegments(msgspec.Struct, frozen=True):
    """A pack and what it holds: what a writer adds."""

    pack: Pack
    segments: Sequence[tuple[bytes, int, int]]
    """(ID, offset, length)"""


def parse_pack(fields: list[bytes]) -> Pack:
    """The pack that an index's `p` line describes; raises `ValueError`."""
    kind, digest, stored, plain, codec = (field.decode("ascii") for field in fields)
    if kind != "p" or not is_hash(digest) or codec not in ("zstd", "plain"):
        raise ValueError
    pack = Pack(digest, int(stored), int(plain), "zstd" if codec == "zstd" else "plain")
    if not (0 < pack.plain <= MAX_SEGMENT_BYTES and 0 < pack.stored <= MAX_SEGMENT_BYTES + (1 << 20)):
        raise ValueError
    return pack


def write_index(packed: Iterable[PackedSegments], key: RepositoryKey, recipients: Sequence[Recipient]) -> bytearray:
    """An index object's stored bytes."""
    writer = TextWriter(key)
    for item in packed:
        pack = item.pack
        writer.add(f"p\t{pack.hash}\t{pack.stored}\t{pack.plain}\t{pack.codec}".encode())
        for segment, offset, length in item.segments:
            writer.add(f"s\t{segment.hex()}\t{offset}\t{length}".encode())
    header = msgspec.json.encode({"format": FORMAT, "kind": "index"})
    return writer.finish(header, recipients)


def index_lines(stored: memoryview, identities: Sequence[Identity], key: RepositoryKey, name: str) -> Iterator[bytes]:
    """The lines of an index object."""
    for block in read_lines(stored, identities, key, name):
        yield from block
