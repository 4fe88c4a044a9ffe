"""Restores the trees of a backup: each pack is fetched once, and its files are written as it arrives."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository import direct
from propolis.repository.fetch import check_segment, label, positions, side_by_side
from propolis.repository.index import Place, SegmentTable
from propolis.repository.ledger import Files, Objects, Part, Parts
from propolis.repository.manifest import Manifest, object_meta
from propolis.repository.model import (
    Entry,
    ObjectSink,
    Observer,
    RestoreResult,
    Stats,
    TreeHeader,
    TreeKind,
)
from propolis.repository.packs import PackOpener
from propolis.repository.target import Folders, Times, WriteBack, check_link, new_folder, safe_parts, unwritable

if TYPE_CHECKING:
    from propolis.repository.repository import Repository

Owner = Callable[[Entry], tuple[int, int] | None]
"""The (uid, gid) that an entry gets; None leaves it to the user who restores."""
PathFilter = Callable[[bytes], bool]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REOPEN = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Plan:
    """A tree's entries, checked, sorted by what is to be done."""

    def __init__(self, table: SegmentTable) -> None:
        self.folders: dict[bytes, Times] = {}
        self.links: list[tuple[bytes, bytes, Times]] = []
        self.files = Files()
        self.empty: list[int] = []
        self.large: list[int] = []
        self.parts = Parts(table)
        self.bytes = 0


def restore_folder(
    repository: Repository,
    manifest: Manifest,
    tree: str,
    target: Path,
    *,
    owner: Owner | None = None,
    paths: PathFilter | None = None,
    observer: Observer | None = None,
    table: SegmentTable | None = None,
) -> RestoreResult:
    """Write a folder tree into `target`, which must be missing or empty.

    Every segment is checked before it is written, and all is on the disk when this returns. `owner` decides whose the
    files become (default: as recorded when run as root, else the user's own); `paths` chooses entries by their path;
    `table` is `repository.load_table()` when the caller has it already. Set-user-ID bits are not restored.
    Raises `RepositoryError` (wrong key, unreachable), `IntegrityError` (damaged), `PropolisError` (target can't be
    written).
    """
    repository.require_pack_key()
    header = tree_of(manifest, tree, "folder")
    table = table or repository.load_table()
    plan = _plan(manifest, header, table, owner or _recorded_owner, paths)
    root = new_folder(target)
    stats = Stats()
    try:
        with WriteBack(root) as cache:
            _write(repository, table, plan, root, cache, stats, observer)
            cache.finish()
    except OSError as error:
        raise unwritable(target, error) from None
    finally:
        os.close(root)
    return RestoreResult(tree, len(plan.files.sizes), len(plan.folders), len(plan.links), plan.bytes, stats.packs)


def tree_of(manifest: Manifest, tree: str, kind: TreeKind) -> TreeHeader:
    """The tree's header; raises `RepositoryError` when the backup has none of that name and kind."""
    header = manifest.header.tree(tree)
    if header is None or header.kind != kind:
        known = ", ".join(item.name for item in manifest.header.trees if item.kind == kind)
        raise RepositoryError(f"The backup {manifest.id} has no {kind} {tree!r}", next=f"It has: {known or 'none'}")
    return header


def _recorded_owner(entry: Entry) -> tuple[int, int] | None:
    return (entry.uid, entry.gid) if os.geteuid() == 0 else None


def _plan(
    manifest: Manifest, header: TreeHeader, table: SegmentTable, owner: Owner, paths: PathFilter | None
) -> _Plan:
    plan = _Plan(table)
    folders: dict[bytes, Times] = {}
    seen_bytes = seen_files = seen = 0
    for entry in manifest.entries(header.name):
        seen += 1
        path = b"" if entry.path == b"." and entry.type == "d" else entry.path
        parts = safe_parts(path, label(entry)) if path else []
        parent = path.rpartition(b"/")[0]
        if path in folders or (path and parent not in folders):
            raise IntegrityError(f"{label(entry)} is not in a folder of the backup, or twice")
        bits = 0o3777 if entry.type == "d" else 0o777
        times = Times(entry.mode & bits, owner(entry), entry.mtime_ns)
        chosen = paths is None or paths(entry.path)
        if entry.type == "d":
            folders[path] = times
        elif entry.type == "f":
            seen_files += 1
            seen_bytes += entry.size
        elif entry.type == "l":
            check_link(entry.extra, label(entry))
        else:
            raise IntegrityError(f"{label(entry)} is an object inside of a folder")
        if not chosen:
            continue
        for depth in range(len(parts) + (entry.type == "d")):
            above = b"/".join(parts[:depth])
            plan.folders.setdefault(above, folders[above])
        if entry.type == "f":
            _plan_file(plan, table, entry, path, times, manifest.name)
        elif entry.type == "l":
            plan.links.append((path, entry.extra, times))
    if (seen, seen_files, seen_bytes) != (header.entries, header.files, header.bytes):
        raise IntegrityError(f"{manifest.name} is damaged: tree {header.name} has not the entries its header states")
    return plan


def _plan_file(plan: _Plan, table: SegmentTable, entry: Entry, path: bytes, times: Times, name: str) -> None:
    found = positions(table, entry, name)
    file = plan.files.add(path, entry.size, times, len(found))
    plan.bytes += entry.size
    if not found:
        plan.empty.append(file)
    elif len(found) > 1:
        plan.large.append(file)
    at = 0
    for position in found:
        plan.parts.add(position, file, at)
        at += table.record(position)[1].length


def _write(
    repository: Repository,
    table: SegmentTable,
    plan: _Plan,
    root: int,
    cache: WriteBack,
    stats: Stats,
    observer: Observer | None,
) -> None:
    folders = Folders(root)
    workers: list[Folders] = []
    lock = threading.Lock()
    try:
        for path in plan.folders:
            if path:
                parent, name = folders.of(path)
                os.mkdir(name, 0o700, dir_fd=parent)
        for file in plan.empty:
            with _Opened(folders, plan.files.paths[file], _CREATE) as descriptor:
                plan.files.times(file).give(descriptor)
        for file in plan.large:
            with _Opened(folders, plan.files.paths[file], _CREATE) as descriptor:
                os.posix_fallocate(descriptor, 0, plan.files.sizes[file])

        def make() -> Callable[[int], None]:
            own = Folders(root)
            with lock:
                workers.append(own)
            worker = _Worker(repository, table, plan, own, cache, lock, stats, observer)
            return worker.restore

        side_by_side(plan.parts.seal(), make)
        for path, content, times in plan.links:
            parent, name = folders.of(path)
            os.symlink(content, name, dir_fd=parent)
            if times.uid >= 0:
                os.chown(name, times.uid, times.gid, dir_fd=parent, follow_symlinks=False)
            os.utime(name, ns=(times.mtime_ns, times.mtime_ns), dir_fd=parent, follow_symlinks=False)
        for path in reversed(plan.folders):
            plan.folders[path].give(folders.folder(path))
    finally:
        for own in [folders, *workers]:
            own.close()


class _Opened:
    """A file of the target, open for a `with` block."""

    def __init__(self, folders: Folders, path: bytes, flags: int) -> None:
        parent, name = folders.of(path)
        self._file = os.open(name, flags, 0o600, dir_fd=parent)

    def __enter__(self) -> int:
        return self._file

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


class _Worker:
    def __init__(
        self,
        repository: Repository,
        table: SegmentTable,
        plan: _Plan,
        folders: Folders,
        cache: WriteBack,
        lock: threading.Lock,
        stats: Stats,
        observer: Observer | None,
    ) -> None:
        self._key = repository.key
        self._table, self._files, self._parts = table, plan.files, plan.parts
        self._folders, self._cache, self._lock = folders, cache, lock
        self._stats, self._observer = stats, observer
        self._opener = PackOpener(repository.storage, repository.identities, stats)

    def restore(self, number: int) -> None:
        """Fetch a pack and write what is needed of it."""
        pack = self._table.packs[number]
        plain = self._opener.open(pack)
        files = size = 0
        checked = b""
        for part in self._parts.of(number):
            place = part.place
            data = plain[place.offset : place.offset + place.length]
            if part.segment != checked:
                data = check_segment(self._key, plain, part.segment, place.offset, place.length, pack)
                checked = part.segment
            files += self._write(part, data)
            size += len(data)
        self._stats.add(files=files, bytes=size)
        if self._observer is not None:
            self._observer(self._stats)

    def _write(self, part: Part, data: memoryview) -> int:
        """Write one part; 1 when its file is complete."""
        files, file = self._files, part.file
        whole = len(data) == files.sizes[file]
        with _Opened(self._folders, files.paths[file], _CREATE if whole else _REOPEN) as descriptor:
            direct.write(descriptor, data, part.at)
            if len(data) < direct.LEAST:
                self._cache.wrote(len(data))
            if not whole:
                with self._lock:
                    files.missing[file] -= 1
                    if files.missing[file]:
                        return 0
            files.times(file).give(descriptor)
        return 1


def restore_bucket(
    repository: Repository,
    manifest: Manifest,
    tree: str,
    sink: ObjectSink,
    *,
    paths: PathFilter | None = None,
    observer: Observer | None = None,
    table: SegmentTable | None = None,
) -> RestoreResult:
    """Put the objects of a bucket tree into `sink`, with content type and metadata, every segment checked before.

    Raises as `restore_folder` does, and whatever the sink raises.
    """
    repository.require_pack_key()
    header = tree_of(manifest, tree, "bucket")
    table = table or repository.load_table()
    objects = Objects(table)
    seen = seen_bytes = 0
    for entry in manifest.entries(tree):
        seen += 1
        seen_bytes += entry.size
        if entry.type != "o":
            raise IntegrityError(f"{label(entry)} is not an object, in a bucket")
        if paths is None or paths(entry.path):
            objects.add(object_meta(entry, manifest.name), positions(table, entry, manifest.name))
    if (seen, seen_bytes) != (header.entries, header.bytes):
        raise IntegrityError(f"{manifest.name} is damaged: tree {tree} has not the entries its header states")
    stats = Stats()

    def make() -> Callable[[int], None]:
        return _BucketWorker(repository, table, objects, sink, stats, observer).restore

    side_by_side(objects.seal(), make)
    return RestoreResult(tree, len(objects), 0, 0, objects.bytes, stats.packs)


class _BucketWorker:
    def __init__(
        self,
        repository: Repository,
        table: SegmentTable,
        objects: Objects,
        sink: ObjectSink,
        stats: Stats,
        observer: Observer | None,
    ) -> None:
        self._key = repository.key
        self._table, self._objects, self._sink = table, objects, sink
        self._stats, self._observer = stats, observer
        self._opener = PackOpener(repository.storage, repository.identities, stats)
        self._open = -1
        self._plain = memoryview(b"")

    def restore(self, group: int) -> None:
        """Put objects; those of one group share a pack."""
        for number in self._objects.of(group):
            meta, found = self._objects.get(number)
            self._sink.put(meta, self._content(found))
            self._stats.add(files=1, bytes=meta.size)
            if self._observer is not None:
                self._observer(self._stats)

    def _content(self, found: list[tuple[bytes, Place]]) -> Iterator[memoryview]:
        for segment, place in found:
            pack = self._table.packs[place.pack]
            if self._open != place.pack:
                self._open = -1
                self._plain = self._opener.open(pack)
                self._open = place.pack
            yield check_segment(self._key, self._plain, segment, place.offset, place.length, pack)
