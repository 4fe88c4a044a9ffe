"""An entry's line in a manifest, and what its fields hold."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any, Literal, NewType

import msgspec

from propolis.errors import IntegrityError
from propolis.filesystem.attributes import Attributes
from propolis.filesystem.unkept import Unkept, below, joined
from propolis.repository.format.text import escape, unescape
from propolis.s3.objects import ObjectMeta
from propolis.structs import read_in_threads

BackupId = NewType("BackupId", str)
"""A backup's full ID as shown to users, such as `20261123T224500Z-1a2b3c4d`."""


EntryType = Literal["d", "f", "l", "h", "o"]
"""directory, file, symbolic link, hard link (a further name of a file), object of a bucket"""


TreeKind = Literal["folder", "bucket"]


class TreeHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tree of a backup: a folder or bucket of a store."""

    name: str
    """Unique within the backup, such as `database/data-0`."""
    store: str
    kind: TreeKind
    original: str
    """Where it was: an absolute path, or `s3://bucket/prefix`."""
    entries: int
    files: int
    """Files and objects among the entries."""
    bytes: int
    """Sum of their sizes."""
    holes: int = 0
    """Those of the bytes that are holes and take no room."""
    unkept: list[Unkept] = []
    """What was there and is not in the backup."""
    users: dict[str, str] = {}
    """Number → name on the host, of users that access lists name; `groups` likewise."""
    groups: dict[str, str] = {}
    host: str = ""
    """Of several hosts' backup: what the coordinator calls the one that it is of."""


@read_in_threads
class Header(msgspec.Struct, frozen=True):
    """First line of a manifest."""

    format: int
    stack: str
    kind: str
    """`cold` or `hot`."""
    host: str
    started: str
    """UTC, as `2026-11-23T22:45:00Z`; so is `ended`."""
    ended: str
    propolis: str
    """Version that wrote it."""
    parent: str | None
    services: dict[str, str]
    """service → version"""
    trees: list[TreeHeader]
    facts: dict[str, Any] = {}
    """Whatever else belongs to the restore point (cluster name, keyspaces, …), as plain JSON."""

    def tree(self, name: str) -> TreeHeader | None:
        """The tree of that name."""
        return next((tree for tree in self.trees if tree.name == name), None)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Of several hosts' backup: what their coordinator calls them; none where it is of one host."""
        told = self.facts.get("hosts")
        names = [*(told if isinstance(told, dict) else ()), *(tree.host for tree in self.trees)]
        return tuple(dict.fromkeys(str(name) for name in names if name))

    @property
    def unkept(self) -> list[Unkept]:
        """What was there and is not in the backup, of all trees."""
        return joined(below(tree.name, tree.unkept) for tree in self.trees)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of a manifest: a directory, file, symbolic link or object."""

    type: EntryType
    mode: int
    uid: int
    gid: int
    user: str
    group: str
    mtime_ns: int
    size: int
    inode: int
    """Of the original, 0 when unknown; only used to recognise unchanged files."""
    tree: str
    path: bytes
    """Relative to the tree (`.` is the tree's own folder), or the object's key."""
    segments: bytes
    """Segment IDs as hex joined by commas, in order, and holes (`entries.content_of`); empty when size is 0."""
    extra: bytes
    """A link's target; of a hard link the first name's path; an object's attributes as JSON (see `ObjectMeta`)."""
    attributes: bytes = b""
    """Extended attributes and access lists, as they stand in the line (`entries.attributes_of`)."""


SEGMENTS = 11
"""Number of the field that names a file's segments."""
_TYPES: dict[bytes, EntryType] = {b"d": "d", b"f": "f", b"l": "l", b"h": "h", b"o": "o"}
_TEXT = rb"((?!\t)[ -\[\]-~]*(?:\\0[0-3][0-7]{2}[ -\[\]-~]*)*)"
_LINE = re.compile(
    rb"([dflho])\t([0-7]{1,4})\t(\d{1,10})\t(\d{1,10})\t"
    + rb"\t".join([_TEXT] * 2)
    + rb"\t(-?\d{1,29})\t(\d{1,19})\t(\d{1,20})\t"
    + rb"\t".join([_TEXT] * 2)
    + rb"\t([0-9a-fh,]+|-)\t"
    + _TEXT
    + rb"(?:\t([!-~]+))?"
)
_PIECE = re.compile(rb"[0-9a-f]{64}|h[1-9]\d{0,18}")
_ATTRIBUTE = re.compile(rb"((?:[!-+\--<>-\[\]-~]|\\0[0-3][0-7]{2})+)=((?:[0-9a-f]{2})*)")
_SEPARATORS = re.compile(rb"[ ,=]")


def format_entry(entry: Entry) -> bytes:
    """An entry's line."""
    return b"\t".join(
        (
            entry.type.encode(),
            b"%o" % entry.mode,
            b"%d" % entry.uid,
            b"%d" % entry.gid,
            escape(entry.user.encode("utf-8", "surrogateescape")),
            escape(entry.group.encode("utf-8", "surrogateescape")),
            b"%d" % entry.mtime_ns,
            b"%d" % entry.size,
            b"%d" % entry.inode,
            escape(entry.tree.encode()),
            escape(entry.path),
            entry.segments or b"-",
            escape(entry.extra),
            entry.attributes or b"-",
        )
    )


def parse_entry(line: bytes, name: str) -> Entry:
    """The reverse of `format_entry`; raises `IntegrityError`.

    Whether the entry may be what it says is for `rules` to tell.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise _not_understood(name)
    fields = match.groups()
    attributes = fields[13]
    try:
        return Entry(
            _TYPES[fields[0]],
            int(fields[1], 8),
            int(fields[2]),
            int(fields[3]),
            unescape(fields[4]).decode("utf-8", "surrogateescape"),
            unescape(fields[5]).decode("utf-8", "surrogateescape"),
            int(fields[6]),
            int(fields[7]),
            int(fields[8]),
            unescape(fields[9]).decode(),
            unescape(fields[10]),
            b"" if fields[11] == b"-" else fields[11],
            unescape(fields[12]),
            b"" if attributes is None or attributes == b"-" else attributes,
        )
    except ValueError:
        raise _not_understood(name) from None


def content_of(field: bytes) -> list[bytes | int]:
    """A file's content in order: the ID of a segment (32 bytes), or how many bytes a hole has.

    Raises `IntegrityError`.
    """
    if not field or field == b"-":
        return []
    found: list[bytes | int] = []
    for part in field.split(b","):
        if not _PIECE.fullmatch(part):
            raise IntegrityError("An entry's segments can't be understood")
        found.append(int(part[1:]) if part.startswith(b"h") else bytes.fromhex(part.decode()))
    return found


def segment_ids(field: bytes, name: str) -> list[bytes]:
    """The 32-byte IDs in an entry's `segments`; `name` is the manifest's. Raises `IntegrityError`."""
    try:
        return [piece for piece in content_of(field) if isinstance(piece, bytes)]
    except IntegrityError:
        raise IntegrityError(f"{name} is damaged: an entry's segments can't be understood") from None


def lengths_of(entry: Entry, step: int) -> Iterator[tuple[bytes, int]]:
    """Of each segment of a file that is cut every `step` bytes: its ID and length; 0 where that can't be determined.

    Before a hole, and at the end, there is what is left of the data, which of several ranges nobody can tell.
    """
    pieces = content_of(entry.segments)
    ranges = [
        list(group) for is_data, group in itertools.groupby(pieces, lambda piece: isinstance(piece, bytes)) if is_data
    ]
    data = entry.size - sum(piece for piece in pieces if isinstance(piece, int))
    for group in ranges:
        last = data - step * (len(group) - 1) if len(ranges) == 1 else 0
        for number, segment in enumerate(group):
            if isinstance(segment, bytes):
                length = step if number < len(group) - 1 else last
                yield segment, length if 0 < length <= step else 0


def hole(length: int) -> bytes:
    """How a hole stands among the segments."""
    return b"h%d" % length


def format_attributes(attributes: Attributes) -> bytes:
    """The field of a file's attributes."""
    return b",".join(_format_name(name) + b"=" + value.hex().encode() for name, value in attributes) or b"-"


def attributes_of(entry: Entry) -> Attributes:
    """A file's attributes; raises `IntegrityError`."""
    found = []
    for part in entry.attributes.split(b",") if entry.attributes else ():
        match = _ATTRIBUTE.fullmatch(part)
        if match is None:
            raise IntegrityError("An entry's attributes can't be understood")
        found.append((unescape(match[1]), bytes.fromhex(match[2].decode())))
    return tuple(found)


def link_of(entry: Entry) -> bytes:
    """Of a hard link: the path of the file's first name, relative to the tree."""
    return entry.extra


def object_extra(meta: ObjectMeta) -> bytes:
    """What an entry keeps of an object besides key, size and time."""
    rest = msgspec.structs.replace(meta, key="", size=0, last_modified_ns=0)
    return msgspec.json.encode(rest)


def object_meta(entry: Entry) -> ObjectMeta:
    """The reverse, from a whole entry; raises `IntegrityError`."""
    try:
        meta = msgspec.json.decode(entry.extra, type=ObjectMeta)
        key = entry.path.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise IntegrityError("An object's attributes can't be understood") from None
    return msgspec.structs.replace(meta, key=key, size=entry.size, last_modified_ns=entry.mtime_ns)


def order(path: bytes) -> bytes:
    """What entries of a tree are sorted by: a directory, then what is in it, names bytewise."""
    return b"" if path == b"." else path.replace(b"/", b"\0")


@functools.lru_cache(maxsize=4096)
def _format_name(name: bytes) -> bytes:
    return _SEPARATORS.sub(lambda match: rb"\0%03o" % match[0][0], escape(name))


def _not_understood(name: str) -> IntegrityError:
    return IntegrityError(f"{name} is damaged: an entry can't be understood")
