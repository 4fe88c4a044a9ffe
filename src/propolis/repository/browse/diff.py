"""What differs between two states of a stack, entry by entry, in bounded memory.

A state gives each tree's entries sorted, as the fields of their lines in a manifest; of files that were only looked
at, the segments are unknown. Two sorted lists are walked side by side, so that millions of entries take no memory.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from propolis.errors import IntegrityError
from propolis.repository.format.entries import SEGMENTS, EntryType, TreeHeader, TreeKind, order
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.text import escape, unescape
from propolis.repository.read.ledger import Texts
from propolis.s3.objects import ObjectMeta

Fields = list[bytes]
"""An entry's line, split at its tabs (`entries.format_entry`)."""
ChangeKind = Literal["added", "removed", "changed"]
Aspect = Literal["type", "content", "target", "link", "mode", "owner", "time", "attributes", "etag"]
"""What of an entry changed. `target`: what a symbolic link leads to. `link`: the file that a hard link is a name of.
`etag`: an object's mark of content, where its bytes weren't compared."""

UNREAD = b"?"
"""Instead of segments: what the file holds is not known."""
OTHER = b"!"
"""Instead of segments: the file holds something else than the one it is compared with."""
_MODE, _TIME, _SIZE, _TREE, _PATH, _EXTRA, _ATTRIBUTES = 1, 6, 7, 9, 10, 12, 13
_OWNER = slice(2, 6)
_TYPES: dict[bytes, EntryType] = {b"d": "d", b"f": "f", b"l": "l", b"h": "h", b"o": "o"}


class Item(NamedTuple):
    """One entry of a tree."""

    key: bytes
    """What the tree is sorted by."""
    fields: Fields
    """Empty: neither this entry nor anything below it could be looked at."""


Pair = tuple[Item | None, Item | None]
"""An entry before and after; None where there is none."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """One entry that isn't the same in both states."""

    kind: ChangeKind
    tree: str
    path: bytes
    type: EntryType
    """What it is; of a removed one, what it was."""
    before: int
    """Its size in bytes; 0 for what has no content of its own."""
    after: int
    what: tuple[Aspect, ...] = ()
    """Of a changed one."""


@dataclass
class Total:
    """How many entries, and bytes of files and objects."""

    added: int = 0
    added_bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    changed: int = 0
    changed_before: int = 0
    """Bytes that the changed ones had."""
    changed_after: int = 0
    other_content: int = 0
    """Those of the changed ones whose content, target or type is another."""
    unchanged: int = 0
    unchanged_bytes: int = 0
    unread: int = 0
    """Entries that could not be compared."""

    def add(self, other: Total) -> None:
        """Add another's numbers."""
        for one in dataclasses.fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def differs(self) -> bool:
        """Whether anything is known to differ."""
        return bool(self.added or self.removed or self.changed)


@dataclass
class TreeDiff:
    """One tree's differences. `total` is complete once all `changes` were taken."""

    name: str
    store: str
    kind: TreeKind
    changes: Iterator[Change]
    total: Total = field(default_factory=Total)


def diff_backups(before: Manifest, after: Manifest, stores: Collection[str] = ()) -> Iterator[TreeDiff]:
    """What changed from one backup to another, tree by tree; each is to be taken whole before the next.

    `stores`: only these; all where it is empty. Raises `IntegrityError` for a manifest that breaks the rules.
    """
    old, new = ManifestItems(before), ManifestItems(after)
    for name, one, other in paired(before.header.trees, after.header.trees):
        tree = other or one
        assert tree is not None
        if stores and tree.store not in stores:
            continue
        if one is not None and other is not None and one.kind != other.kind:
            pairs = itertools.chain(_only(old.of(one), gone=True), _only(new.of(other), gone=False))
            yield diff_tree(name, tree.store, tree.kind, pairs)
            continue
        yield diff_tree(
            name,
            tree.store,
            tree.kind,
            side_by_side(old.of(one) if one else iter(()), new.of(other) if other else iter(())),
        )


def paired(
    before: Iterable[TreeHeader], after: Iterable[TreeHeader]
) -> Iterator[tuple[str, TreeHeader | None, TreeHeader | None]]:
    """Trees of the same name, in the order of the later state; then those that only the earlier one has."""
    old = {tree.name: tree for tree in before}
    for tree in after:
        yield tree.name, old.pop(tree.name, None), tree
    for tree in old.values():
        yield tree.name, tree, None


def diff_tree(name: str, store: str, kind: TreeKind, pairs: Iterator[Pair]) -> TreeDiff:
    """The differences of one tree, from its entries side by side."""
    found = TreeDiff(name, store, kind, iter(()))
    found.changes = _changes(name, pairs, found.total)
    return found


def side_by_side(before: Iterator[Item], after: Iterator[Item]) -> Iterator[Pair]:
    """Entries of the same path together. Both must be sorted.

    What lies at or below an item of the later state that could not be looked at is paired with that item.
    """
    one, other = next(before, None), next(after, None)
    while one is not None or other is not None:
        if other is not None and not other.fields:
            inside = other.key + b"\0" if other.key else b""
            if one is not None and one.key < other.key:
                yield one, None
                one = next(before, None)
            elif one is not None and (one.key == other.key or one.key.startswith(inside)):
                yield one, other
                one = next(before, None)
            else:
                other = next(after, None)
        elif other is None or (one is not None and one.key < other.key):
            yield one, None
            one = next(before, None)
        elif one is None or other.key < one.key:
            yield None, other
            other = next(after, None)
        else:
            yield one, other
            one, other = next(before, None), next(after, None)


class ManifestItems:
    """A backup's entries, one tree after the other: in the manifest's own order that takes one pass through it."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._lines = manifest.lines()
        self._fields: Fields | None = None
        self._advance()

    def of(self, tree: TreeHeader) -> Iterator[Item]:
        """A tree's entries, sorted. Raises `IntegrityError` where they aren't, or aren't as many as it states."""
        if tree.kind == "bucket":
            # Buckets are listed in an order of their own.
            in_order = all(one < other for one, other in itertools.pairwise(item.key for item in self._read(tree)))
            self._rewind()
            return self._read(tree) if in_order else sorted_items(item.fields for item in self._read(tree))
        return self._sorted(tree)

    def _sorted(self, tree: TreeHeader) -> Iterator[Item]:
        last: bytes | None = None
        for item in self._read(tree):
            if last is not None and item.key <= last:
                raise IntegrityError(
                    f"An entry of {tree.name} in {self._manifest.name} is out of order, or there twice",
                    next=f"Run `propolis verify {self._manifest.id}`",
                )
            last = item.key
            yield item

    def _read(self, tree: TreeHeader) -> Iterator[Item]:
        mark = escape(tree.name.encode())
        is_bucket = tree.kind == "bucket"
        count = 0
        if tree.entries:
            self._find(mark)
        while self._fields is not None and self._fields[_TREE] == mark:
            path = unescape(self._fields[_PATH])
            count += 1
            yield Item(path if is_bucket else order(path), self._fields)
            self._advance()
        if count != tree.entries:
            raise IntegrityError(
                f"The tree {tree.name} in {self._manifest.name} does not have the entries that its header states",
                next=f"Run `propolis verify {self._manifest.id}`",
            )

    def _find(self, mark: bytes) -> None:
        """Go to the tree's first entry."""
        while self._fields is not None and self._fields[_TREE] != mark:
            self._advance()
        if self._fields is None:
            self._rewind()
            while self._fields is not None and self._fields[_TREE] != mark:
                self._advance()

    def _rewind(self) -> None:
        self._lines = self._manifest.lines()
        self._advance()

    def _advance(self) -> None:
        line = next(self._lines, None)
        if line is None:
            self._fields = None
            return
        fields = line.split(b"\t")
        if len(fields) not in (_ATTRIBUTES, _ATTRIBUTES + 1) or not _is_size(fields[_SIZE]):
            raise IntegrityError(
                f"{self._manifest.name} is damaged: an entry can't be understood",
                next=f"Run `propolis verify {self._manifest.id}`",
            )
        self._fields = fields


def sorted_items(lines: Iterable[Fields]) -> Iterator[Item]:
    """Objects of a bucket that is listed in any order. They are held as bytes, not as objects."""
    held = Texts()
    for fields in lines:
        held.add(b"\t".join(fields))

    def key(number: int) -> bytes:
        return unescape(held[number].split(b"\t", _PATH + 1)[_PATH])

    for number in sorted(range(len(held)), key=key):
        yield Item(key(number), held[number].split(b"\t"))


def _changes(tree: str, pairs: Iterable[Pair], total: Total) -> Iterator[Change]:
    for one, other in pairs:
        if one is None:
            assert other is not None
            kind, size = _kind_of(other.fields), int(other.fields[_SIZE])
            total.added += 1
            total.added_bytes += size
            yield Change("added", tree, unescape(other.fields[_PATH]), kind, 0, size)
        elif other is None:
            kind, size = _kind_of(one.fields), int(one.fields[_SIZE])
            total.removed += 1
            total.removed_bytes += size
            yield Change("removed", tree, unescape(one.fields[_PATH]), kind, size, 0)
        elif not other.fields:
            total.unread += 1
        else:
            what = () if one.fields == other.fields else aspects(one.fields, other.fields)
            before, after = int(one.fields[_SIZE]), int(other.fields[_SIZE])
            if not what:
                total.unchanged += 1
                total.unchanged_bytes += after
                continue
            total.changed += 1
            total.changed_before += before
            total.changed_after += after
            total.other_content += not {"type", "content", "target"}.isdisjoint(what)
            path = unescape(other.fields[_PATH])
            yield Change("changed", tree, path, _kind_of(other.fields), before, after, what)


def aspects(before: Fields, after: Fields) -> tuple[Aspect, ...]:
    """What differs between two entries of one path.

    Neither inodes count nor the times of folders, which change with whatever comes into them or goes.
    """
    kind = before[0]
    if kind != after[0]:
        return ("type",)
    found: list[Aspect] = []
    if kind == b"h":  # all else is the file's, and told at its first name
        return ("link",) if before[_EXTRA] != after[_EXTRA] else ()
    if kind == b"l" and before[_EXTRA] != after[_EXTRA]:
        found.append("target")
    unread = UNREAD in (before[SEGMENTS], after[SEGMENTS])
    if kind in b"fo" and (before[_SIZE] != after[_SIZE] or (not unread and before[SEGMENTS] != after[SEGMENTS])):
        found.append("content")
    if kind == b"o":
        one, other = _meta(before), _meta(after)
        if not unread and (one.content_type, one.metadata) != (other.content_type, other.metadata):
            found.append("attributes")
        if unread and one.etag != other.etag and "content" not in found:
            found.append("etag")
    elif _attributes(before) != _attributes(after):
        found.append("attributes")
    if kind in b"fd" and before[_MODE] != after[_MODE]:
        found.append("mode")
    if before[_OWNER] != after[_OWNER]:
        found.append("owner")
    if kind != b"d" and before[_TIME] != after[_TIME]:
        found.append("time")
    return tuple(found)


def _attributes(fields: Fields) -> bytes:
    return fields[_ATTRIBUTES] if len(fields) > _ATTRIBUTES else b"-"


def _meta(fields: Fields) -> ObjectMeta:
    try:
        return msgspec.json.decode(unescape(fields[_EXTRA]), type=ObjectMeta)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise IntegrityError("An object's attributes can't be understood") from None


def _kind_of(fields: Fields) -> EntryType:
    kind = _TYPES.get(fields[0])
    if kind is None:
        raise IntegrityError("An entry's type can't be understood")
    return kind


def _only(items: Iterator[Item], *, gone: bool) -> Iterator[Pair]:
    return ((item, None) if gone else (None, item) for item in items)


def _is_size(field: bytes) -> bool:
    return field.isdigit() and len(field) < 20
