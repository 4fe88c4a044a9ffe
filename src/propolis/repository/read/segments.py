"""What reading a backup has in common: finding segments, and checking them."""

from __future__ import annotations

from propolis.errors import IntegrityError
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.format.entries import Entry, content_of
from propolis.repository.format.index import Pack
from propolis.repository.format.names import pack_name
from propolis.repository.format.rules import label
from propolis.repository.format.table import SegmentTable


def positions(table: SegmentTable, entry: Entry) -> list[tuple[int, int]]:
    """Of an entry's segments, in order: the position in the table, and the offset in the file.

    Raises `IntegrityError` when one is unknown, or when with the holes they don't have the entry's size.
    """
    found = []
    size = 0
    for piece in content_of(entry.segments):
        if isinstance(piece, int):
            size += piece
            continue
        position = table.position(piece)
        if position is None:
            lost = "".join(f"; {finding.object} can't be read" for finding in table.damaged)
            raise IntegrityError(
                f"{label(entry)} can't be restored: no index knows its segment {piece.hex()}{lost}",
                next="Run `propolis repository check`, and use another backup",
            )
        found.append((position, size))
        size += table.record(position)[1].length
    if size != entry.size:
        raise IntegrityError(f"{label(entry)} has segments that don't add up to its {entry.size} bytes")
    return found


def check_segment(
    key: RepositoryKey, plain: memoryview, segment: bytes, offset: int, length: int, pack: Pack
) -> memoryview:
    """A segment's bytes out of an opened pack; raises `IntegrityError` unless they are those it was named for."""
    data = plain[offset : offset + length]
    if len(data) != length or key.segment_id(data) != segment:
        raise IntegrityError(
            f"{pack_name(pack.hash)} is damaged: segment {segment.hex()} holds other bytes than were backed up",
            next="Run `propolis repository check`, and use another backup or a copy of the repository",
        )
    return data
