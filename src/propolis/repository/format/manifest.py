"""A backup's manifest: header, one line an entry, end line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from propolis.errors import IntegrityError
from propolis.repository.crypto.identities import Identity
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.format.entries import BackupId, Entry, Header, parse_entry
from propolis.repository.format.names import FORMAT, check_name, parse_manifest_name
from propolis.repository.format.text import escape, read_header, read_lines

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
        self._names: Mapping[str, str] = {}

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

    def seen_as(self, header: Header, names: Mapping[str, str]) -> Manifest:
        """The same backup by another header, whose trees are called otherwise: `names` has what they really are.

        For readers that ask by a tree's name. Its lines, and entries of all trees, stay as they are.
        """
        seen = Manifest(self.id, self.name, self._stored, header, self._identities)
        seen._names = names
        return seen

    def lines(self) -> Iterator[bytes]:
        """The entries' lines, unparsed, in order."""
        for block in read_lines(self._stored, self._identities, None, self.name):
            yield from block

    def entries(self, tree: str | None = None, wanted: Callable[[bytes], bool] | None = None) -> Iterator[Entry]:
        """The entries in order (a directory before what is in it), of one tree or all; `wanted` filters by path."""
        mark = escape(self._names.get(tree, tree).encode()) if tree is not None else None
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
        raise IntegrityError(f"{name} has format {header.format}, which this version of Propolis doesn't know")
    named = parse_manifest_name(name)
    if named is None or header.ended.replace("-", "").replace(":", "") != named[0]:
        raise IntegrityError(f"{name} has another time in its name than in its header", next="Do not restore from it")
    return header
