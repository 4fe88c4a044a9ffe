"""What of a backup's parent is still the same, and therefore needn't be read."""

from __future__ import annotations

from binascii import unhexlify

import msgspec

from propolis.errors import IntegrityError
from propolis.repository.format.entries import SEGMENTS, content_of, order
from propolis.repository.format.index import SEGMENT_ID
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.table import SegmentTable
from propolis.repository.format.text import escape, unescape
from propolis.repository.write.folder_entries import Line
from propolis.s3.objects import ObjectMeta

_TREE, _PATH = 9, 10


class ParentCursor:
    """Walks a parent's entries beside a sorted scan, to recognise what did not change, in constant memory."""

    def __init__(self, parent: Manifest) -> None:
        self._parent = parent
        self._lines = parent.lines()
        self._line: bytes | None = None
        self._split: list[bytes] = []
        self._tree = b""
        self._advance()

    def start(self, tree: str) -> None:
        """Go to the beginning of a tree; trees in the parent's own order cost nothing."""
        self._tree = escape(tree.encode())
        for _ in range(2):
            while self._line is not None and self._fields()[_TREE:_PATH] != [self._tree]:
                self._advance()
            if self._line is not None:
                return
            self._lines = self._parent.lines()
            self._advance()

    def same(self, before: bytes) -> bytes | None:
        """The parent's next line of a file, and no longer its next, if it begins just so. Else nothing is changed.

        This spares nearly all files the work of `find`.
        """
        line = self._line
        while line is not None and not line.startswith(b"f"):
            self._advance()
            line = self._line
        if line is None or not line.startswith(before):
            return None
        self._advance()
        return line

    def find(self, path: bytes) -> list[bytes] | None:
        """The parent's fields for this path, if it has it. Paths must be asked for in `order`."""
        wanted = order(path)
        while self._line is not None:
            fields = self._fields()
            if len(fields) <= SEGMENTS + 1:  # not understood
                self._advance()
                continue
            if fields[_TREE] != self._tree:
                break
            here = order(unescape(fields[_PATH]))
            if here == wanted:
                return fields
            if here > wanted:
                return None
            self._advance()
        return None

    def _fields(self) -> list[bytes]:
        if not self._split and self._line is not None:
            self._split = self._line.split(b"\t")
        return self._split

    def _advance(self) -> None:
        self._line = next(self._lines, None)
        self._split = []


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
