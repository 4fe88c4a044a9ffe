"""What of a backup's parent is still the same, and therefore needn't be read."""

from __future__ import annotations

from binascii import unhexlify

import msgspec

from propolis.errors import IntegrityError
from propolis.repository.entries import SEGMENTS, content_of
from propolis.repository.folder_entries import Line
from propolis.repository.index import SEGMENT_ID, SegmentTable
from propolis.repository.manifest import Manifest, ParentCursor
from propolis.repository.model import ObjectMeta
from propolis.repository.text import unescape

_MTIME, _SIZE, _INODE = 6, 7, 8


class Parent:
    """Tells what is known of files and objects, asked for in the order in which the parent has them.

    What can't be understood of a parent is not known: then a file is merely read.
    """

    def __init__(self, manifest: Manifest | None, table: SegmentTable) -> None:
        """`table` tells which segments the repository has."""
        self._cursor = ParentCursor(manifest) if manifest is not None else None
        self._table = table

    def start(self, tree: str) -> None:
        """Go to a tree's beginning."""
        if self._cursor is not None:
            self._cursor.start(tree)

    def segments(self, path: bytes, line: Line, mtime_ns: int) -> bytes | None:
        """The segments of the parent's file when it is the same one, and the repository has all of them."""
        if self._cursor is None:
            return None
        same = self._cursor.same(line.before)
        if same is not None:
            # This spares nearly all files the work below.
            segments = same[len(line.before) :].partition(b"\t")[0]
            if self._has(segments):
                return segments
        fields = self._unchanged(path, b"f", line.size, mtime_ns)
        if fields is None or (line.inode and fields[_INODE] not in (b"0", b"%d" % line.inode)):
            return None
        return fields[SEGMENTS]

    def object(self, key: bytes, meta: ObjectMeta) -> list[bytes] | None:
        """The parent's fields when it has the same object, and the repository all of its segments."""
        fields = self._unchanged(key, b"o", meta.size, meta.last_modified_ns)
        return fields if fields is not None and meta.etag and _etag(fields[SEGMENTS + 1]) == meta.etag else None

    def _unchanged(self, path: bytes, kind: bytes, size: int, mtime_ns: int) -> list[bytes] | None:
        fields = self._cursor.find(path) if self._cursor is not None else None
        if fields is None or (fields[0], fields[_SIZE], fields[_MTIME]) != (kind, b"%d" % size, b"%d" % mtime_ns):
            return None
        return fields if self._has(fields[SEGMENTS]) else None

    def _has(self, segments: bytes) -> bool:
        """Whether the repository has all segments of an entry's field."""
        position = self._table.position
        try:
            if len(segments) == 2 * SEGMENT_ID:  # nearly always: one segment
                return position(unhexlify(segments)) is not None
            return all(position(piece) is not None for piece in content_of(segments) if isinstance(piece, bytes))
        except (ValueError, IntegrityError):
            return False


def _etag(field: bytes) -> str:
    try:
        return msgspec.json.decode(unescape(field), type=ObjectMeta).etag
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
