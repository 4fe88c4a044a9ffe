"""A backup's manifest: header, one line an entry, end line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from propolis.errors import IntegrityError
from propolis.repository.entries import SEGMENTS, order, parse_entry
from propolis.repository.keys import Identity
from propolis.repository.layout import FORMAT, RepositoryKey, check_name, parse_manifest_name
from propolis.repository.model import BackupId, Entry, Header
from propolis.repository.text import escape, read_header, read_lines, unescape

_TREE, _PATH = 9, 10


class Manifest:
    """One backup's description, read from the repository and proven genuine."""

    def __init__(
        self, id: BackupId, name: str, stored: memoryview, header: Header, identities: Sequence[Identity]
    ) -> None:
        self.id = id
        self.name = name
        self.header = header
        self._stored = stored
        self._identities = identities

    @classmethod
    def load(
        cls, id: BackupId, name: str, stored: memoryview, identities: Sequence[Identity], key: RepositoryKey
    ) -> Manifest:
        """Check the stored bytes against name and proof; raises `IntegrityError`, or `WrongKeyError`."""
        check_name(name, stored)
        line = read_header(stored, identities, name, whole=True)
        header = parse_header(line or b"", name)
        for _ in read_lines(stored, identities, key, name):
            pass
        return cls(id, name, stored, header, identities)

    def lines(self) -> Iterator[bytes]:
        """The entries' lines, unparsed, in order."""
        for block in read_lines(self._stored, self._identities, None, self.name):
            yield from block

    def entries(self, tree: str | None = None, wanted: Callable[[bytes], bool] | None = None) -> Iterator[Entry]:
        """The entries in order (a directory before what is in it), of one tree or all; `wanted` filters by path."""
        mark = escape(tree.encode()) if tree is not None else None
        for line in self.lines():
            fields = line.split(b"\t", 11)
            if mark is not None and fields[_TREE:_PATH] != [mark] and len(fields) > _PATH:
                continue
            entry = parse_entry(line, self.name)
            if wanted is None or wanted(entry.path):
                yield entry


def parse_header(line: bytes, name: str) -> Header:
    """A manifest's first line; its time has to be the one in the manifest's name."""
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{name} is damaged: its header can't be understood ({error})") from None
    if header.format != FORMAT:
        raise IntegrityError(f"{name} has format {header.format}, which this Propolis doesn't know")
    named = parse_manifest_name(name)
    if named is None or header.ended.replace("-", "").replace(":", "") != named[0]:
        raise IntegrityError(f"{name} is not called by its own time", next="Do not restore from it")
    return header


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
