"""The stack's folders and bucket as they are now, listed as a backup would list them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from propolis import clone
from propolis.clone import KeptEmpty
from propolis.command.kept import own_objects
from propolis.compare.content import ContentCheck, ReadFile, ReadObject
from propolis.config.schema import Config
from propolis.errors import PropolisError
from propolis.filesystem.paths import shown
from propolis.platform import ServiceState, open_platform
from propolis.repository import Entry, Manifest, ObjectSource, Repository, TreeHeader
from propolis.repository.browse.diff import (
    UNREAD,
    Item,
    ManifestItems,
    Pair,
    TreeDiff,
    diff_tree,
    side_by_side,
    sorted_items,
)
from propolis.repository.format.entries import SEGMENTS, format_entry, object_extra, order
from propolis.repository.format.text import escape
from propolis.repository.write.folder_entries import CantKeep, FolderEntries
from propolis.repository.write.scan import Exclude, walk
from propolis.run.journal import journal_folder
from propolis.run.journals import recorded_places
from propolis.s3.objects import ObjectMeta
from propolis.stack.model import BucketTree, FolderTree, Tree, host_in
from propolis.stack.stack import kind_of, services, trees

_NAMED = 20
"""What can't be read is named, up to so many."""


class LiveTrees:
    """What a stack holds now, to be compared with a backup."""

    def __init__(self, config: Config, repository: Repository | None) -> None:
        """`repository`: if files are to be read, the one that has their hashes."""
        self._config = config
        self._content = None if repository is None else ContentCheck(repository, self._cannot)
        self.remarks: list[str] = []
        self.unread: list[str] = []
        running = self._running()
        if running:
            self.remarks.append(f"Running: {', '.join(running)}. Files may be changing while they are compared")

    def diff(self, manifest: Manifest, stores: Collection[str]) -> Iterator[TreeDiff]:
        """What changed from the backup, tree by tree; each is to be taken whole before the next."""
        before = ManifestItems(manifest)
        backed_up = {tree.name: tree for tree in manifest.header.trees}
        here = trees(self._config)
        for tree in here:
            header = backed_up.get(tree.name)
            if not stores or tree.store in stores:
                yield self._tree(before, header, tree)
        for header in manifest.header.trees:
            if (other := host_in(header.name)) and other != self._config.host:
                hosts = f"Trees of other hosts are not compared, e.g. {header.name}: run the same command there"
                if not any(remark.startswith("Trees of other hosts") for remark in self.remarks):
                    self.remarks.append(hosts)
            elif header.name not in {tree.name for tree in here} and (not stores or header.store in stores):
                self.remarks.append(f"This stack has no tree {header.name} any more: all of it counts as removed")
                yield diff_tree(header.name, header.store, header.kind, side_by_side(before.of(header), iter(())))

    def _tree(self, before: ManifestItems, header: TreeHeader | None, tree: Tree) -> TreeDiff:
        if header is None:
            self.remarks.append(f"The backup has no tree {tree.name}: all of it counts as added")
        old = iter(()) if header is None else before.of(header)
        if isinstance(tree, BucketTree):
            source = own_objects(self._config, tree.name)
            pairs = side_by_side(old, bucket_items(tree.name, source))
            return diff_tree(tree.name, tree.store, "bucket", self._read(pairs, ReadObject(source)))
        root = tree.path.resolve()
        own = clone.names_directly_in(root, recorded_places(journal_folder(self._config.state)))
        pairs = side_by_side(old, self._folder(tree, root, left_out(own, tree.kept_empty)))
        return diff_tree(tree.name, tree.store, "folder", self._read(pairs, ReadFile(os.fsencode(root))))

    def _read(self, pairs: Iterator[Pair], read: ReadFile | ReadObject) -> Iterator[Pair]:
        return pairs if self._content is None else self._content.settle(pairs, read)

    def _folder(self, tree: FolderTree, root: Path, exclude: Exclude) -> Iterator[Item]:
        """A folder's entries. What vanishes meanwhile isn't there; what can't be looked at has no fields."""
        path = os.fsencode(root)
        entries = FolderEntries(path, escape(tree.name.encode()), None, None, ())
        failed: list[Item] = []

        def cannot(where: bytes, problem: OSError | CantKeep) -> None:
            if isinstance(problem, FileNotFoundError | NotADirectoryError):
                return
            reason = problem.strerror if isinstance(problem, OSError) else f"it has {problem}"
            self._cannot(f"{tree.name}/{shown(where)}" if where else tree.name, str(reason))
            failed.append(Item(order(where), []))

        try:
            for found in walk(path, exclude, cannot):
                yield from failed
                failed.clear()
                try:
                    line = entries.line(found)
                except (OSError, CantKeep) as problem:
                    cannot(found.path, problem)
                    continue
                if line is not None:
                    fields = (line.before + (UNREAD if line.has_content else b"-") + line.after).split(b"\t")
                    yield Item(order(found.path), fields)
        except FileNotFoundError:
            self.remarks.append(f"There is no folder {root}: all of {tree.name} counts as removed")
        except OSError as error:
            cannot(b"", error)
        yield from failed
        for kind in entries.tally.all():
            self.remarks.append(f"{tree.name}: not compared, since no backup keeps them: {kind}")

    def _cannot(self, name: str, reason: str) -> None:
        if len(self.unread) < _NAMED:
            self.unread.append(f"{name} ({reason})")

    def _running(self) -> list[str]:
        try:
            control = open_platform(self._config.platform)
            running = [role for role in services(self._config) if control.state(role) is ServiceState.RUNNING]
            return [kind_of(role).label for role in running]
        except PropolisError as error:
            self.remarks.append(f"Whether services are running could not be determined: {error.what}")
            return []


def left_out(own: Collection[str], kept_empty: KeptEmpty) -> Exclude:
    """What a backup of a folder leaves out: what runs made there, by name, and all in folders that are kept empty."""

    def exclude(path: str) -> bool:
        folder, _, _ = path.rpartition("/")
        return (not folder and path in own) or kept_empty(folder) is not None

    return exclude


def bucket_items(tree: str, source: ObjectSource) -> Iterator[Item]:
    """The objects of a bucket, as listed: without content type and metadata."""
    return sorted_items(_line(tree, meta) for meta in source.list())


def _line(tree: str, meta: ObjectMeta) -> list[bytes]:
    key = meta.key.encode("utf-8", "surrogateescape")
    time = meta.last_modified_ns
    entry = Entry("o", 0, 0, 0, "", "", time, meta.size, 0, tree, key, b"", object_extra(meta))
    fields = format_entry(entry).split(b"\t")
    fields[SEGMENTS] = UNREAD
    return fields
