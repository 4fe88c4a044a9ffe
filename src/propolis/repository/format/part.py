"""A part: what one host contributed to a backup of several hosts, sealed as a manifest is.

`parts/<run>-<host>-<hash>` is a text. Its header holds the run, the host and the header that a manifest of this host
alone would have, so neither can be taken for the other; its lines are a manifest's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from propolis.errors import IntegrityError
from propolis.repository.crypto.identities import Identity
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.format.entries import Header
from propolis.repository.format.names import FORMAT, check_name
from propolis.repository.format.text import escape, read_header, read_lines
from propolis.repository.storage.kinds import KINDS, PARTS
from propolis.structs import read_in_threads

_TREE, _PATH = 9, 10


class PartName(NamedTuple):
    """What a part's name tells."""

    run: str
    host: str
    digest: str
    """BLAKE3 of the stored bytes."""


def part_name(run: str, host: str, digest: str) -> str:
    """Where a host's part lies; raises `IntegrityError` when these make no name."""
    name = f"{PARTS}/{run}-{host}-{digest}"
    if parse_part_name(name) != (run, host, digest):
        raise IntegrityError(f"A part can't be called {name[:200]!r}")
    return name


def parse_part_name(name: str) -> PartName | None:
    """The reverse; None when it is no part's name."""
    match = KINDS[PARTS].names.fullmatch(name)
    return PartName(*match.groups()) if match else None


@read_in_threads
class PartHeader(msgspec.Struct, frozen=True):
    """First line of a part."""

    run: str
    """The run that the part belongs to: the same on all hosts."""
    host: str
    """What the coordinator calls the host."""
    told: Header
    """What a manifest of this host alone would say."""


class Part:
    """A part read from the repository, of intact bytes. It is proven once all of its `lines` were read."""

    def __init__(self, name: str, stored: memoryview, identities: Sequence[Identity], key: RepositoryKey) -> None:
        """Check the stored bytes against the name; raises `IntegrityError`, or `WrongKeyError`."""
        check_name(name, stored)
        self.name = name
        self.header = parse_part_header(read_header(stored, identities, name, whole=True) or b"", name)
        self._stored, self._identities, self._key = stored, identities, key

    def lines(self) -> Iterator[bytes]:
        """The entries' lines, in order.

        After the last one, raises `IntegrityError` unless a holder of the repository's key wrote them; before, at a
        line that is of no tree of this part.
        """
        trees = {escape(tree.name.encode()) for tree in self.header.told.trees}
        for block in read_lines(self._stored, self._identities, self._key, self.name):
            for line in block:
                if not trees.issuperset(line.split(b"\t", _PATH)[_TREE:_PATH] or (b"",)):
                    raise IntegrityError(f"{self.name} has an entry of a tree that is not its own")
                yield line

    def prove(self) -> None:
        """Read all of it; raises `IntegrityError` unless it is what a holder of the repository's key wrote."""
        for _ in self.lines():
            pass


def parse_part_header(line: bytes, name: str) -> PartHeader:
    """A part's first line: of the run and the host in its name, and of trees that are this host's."""
    try:
        header = msgspec.json.decode(line, type=PartHeader)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{name} is damaged: its header can't be understood ({error})") from None
    if header.told.format != FORMAT:
        raise IntegrityError(f"{name} has format {header.told.format}, which this version of Propolis doesn't know")
    named = parse_part_name(name)
    if named is None or (named.run, named.host) != (header.run, header.host):
        raise IntegrityError(f"{name} has another run or host in its name than in its header")
    if any(tree.host != header.host for tree in header.told.trees):
        raise IntegrityError(f"{name} has a tree of another host")
    return header
