"""Restores the trees of a backup: each pack is fetched once, and its files are written as it arrives."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from propolis.errors import RepositoryError
from propolis.filesystem.unkept import Tally, below
from propolis.repository.format.entries import Entry, TreeHeader, TreeKind, link_of, object_meta
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.rules import TreeRules
from propolis.repository.format.table import Place, SegmentTable
from propolis.repository.io import direct
from propolis.repository.io.parallel import side_by_side
from propolis.repository.model import ObjectSink, Observer, RestoreResult, Stats
from propolis.repository.read.extras import Extras, Owner
from propolis.repository.read.ledger import Files, Objects, Part, Parts
from propolis.repository.read.packs import PackOpener
from propolis.repository.read.segments import check_segment, positions
from propolis.repository.read.target import Folders, Properties, WriteBack, new_folder, unwritable
from propolis.repository.repository import Repository

PathFilter = Callable[[bytes], bool]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REOPEN = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Plan:
    """A tree's entries, checked, sorted by what is to be done."""

    def __init__(self, table: SegmentTable) -> None:
        self.folders: dict[bytes, Properties] = {}
        self.links: list[tuple[bytes, bytes, Properties]] = []
        self.names: list[tuple[bytes, bytes]] = []
        """Further names of files: the first name's path, and the new one."""
        self.files = Files()
        self.empty: list[int] = []
        self.large: list[int] = []
        self.sparse: set[int] = set()
        """Files with holes."""
        self.parts = Parts(table)
        self.bytes = 0
        self.tally = Tally()


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
    `table` is `repository.load_table()` when the caller has it already. Nothing that bears privileges is restored
    (see `extras`); that and what the target's file system refuses is in the result.
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
    return RestoreResult(
        tree=tree,
        files=len(plan.files.sizes),
        directories=len(plan.folders),
        symlinks=len(plan.links),
        bytes=plan.bytes,
        packs=stats.packs,
        links=len(plan.names),
        unkept=tuple(below(tree, plan.tally.all())),
    )


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
    rules = TreeRules(header)
    extras = Extras(header, owner)
    folders: dict[bytes, Properties] = {}
    firsts = _first_names(manifest, header, paths) if paths is not None else {}
    for entry in manifest.entries(header.name):
        rules.take(entry)
        chosen = paths is None or paths(entry.path)
        if not chosen and entry.type != "d" and entry.path not in firsts:
            continue
        path = b"" if entry.path == b"." else entry.path
        counted = plan.tally if chosen or entry.path in firsts else Tally()
        properties = _properties(entry, owner, extras, counted)
        if entry.type == "d":
            folders[path] = properties
        if not chosen and entry.path in firsts:
            # Only a further name of it was chosen: that becomes its first.
            _plan_file(plan, table, entry, firsts[entry.path], properties)
        if not chosen:
            continue
        parts = path.split(b"/") if path else []
        for depth in range(len(parts) + (entry.type == "d")):
            above = b"/".join(parts[:depth])
            plan.folders.setdefault(above, folders[above])
        if entry.type == "f":
            _plan_file(plan, table, entry, path, properties)
        elif entry.type == "l":
            plan.links.append((path, entry.extra, properties))
        elif entry.type == "h":
            first = firsts.get(link_of(entry), link_of(entry))
            if first != path:
                plan.names.append((first, path))
    rules.end()
    return plan


def _first_names(manifest: Manifest, header: TreeHeader, paths: PathFilter) -> dict[bytes, bytes]:
    """Files that weren't chosen but by a further name: their path → the first of their names that was."""
    found: dict[bytes, bytes] = {}
    for entry in manifest.entries(header.name):
        if entry.type == "h" and paths(entry.path) and not paths(link_of(entry)):
            found.setdefault(link_of(entry), entry.path)
    return found


def _properties(entry: Entry, owner: Owner, extras: Extras, tally: Tally) -> Properties:
    bits = 0o3777 if entry.type == "d" else 0o1777
    if entry.type in "df" and entry.mode & ~bits:
        tally.add("set-user-ID and set-group-ID bits", os.fsdecode(entry.path))
    return Properties(entry.mode & bits, owner(entry), entry.mtime_ns, extras.of(entry, tally))


def _plan_file(plan: _Plan, table: SegmentTable, entry: Entry, path: bytes, properties: Properties) -> None:
    found = positions(table, entry)
    file = plan.files.add(path, entry.size, properties, len(found))
    plan.bytes += entry.size
    if sum(table.record(position)[1].length for position, _ in found) < entry.size:
        plan.sparse.add(file)
    if not found:
        plan.empty.append(file)
    elif len(found) > 1 or file in plan.sparse:
        plan.large.append(file)
    for position, at in found:
        plan.parts.add(position, file, at)


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
    files = plan.files
    try:
        for path in plan.folders:
            if path:
                parent, name = folders.of(path)
                os.mkdir(name, 0o700, dir_fd=parent)
        for file in plan.empty:
            path = files.paths[file]
            with _Opened(folders, path, _CREATE) as descriptor:
                os.ftruncate(descriptor, files.sizes[file])
                files.properties(file).give(descriptor, path, plan.tally)
        for file in plan.large:
            with _Opened(folders, files.paths[file], _CREATE) as descriptor:
                if file in plan.sparse:
                    os.ftruncate(descriptor, files.sizes[file])
                else:
                    os.posix_fallocate(descriptor, 0, files.sizes[file])

        def make() -> Callable[[int], None]:
            own = Folders(root)
            with lock:
                workers.append(own)
            worker = _Worker(repository, table, plan, own, cache, lock, stats, observer)
            return worker.restore

        side_by_side(plan.parts.seal(), make)
        firsts = Folders(root)
        workers.append(firsts)
        for first, path in plan.names:
            source, old = firsts.of(first)
            parent, name = folders.of(path)
            os.link(old, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        for path, content, properties in plan.links:
            parent, name = folders.of(path)
            os.symlink(content, name, dir_fd=parent)
            properties.give_link(parent, name, path, plan.tally)
        for path in reversed(plan.folders):
            plan.folders[path].give(folders.folder(path), path or b".", plan.tally)
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
        self._table, self._files, self._parts, self._tally = table, plan.files, plan.parts, plan.tally
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
            files.properties(file).give(descriptor, files.paths[file], self._tally)
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
    rules = TreeRules(header)
    for entry in manifest.entries(tree):
        rules.take(entry)
        if paths is None or paths(entry.path):
            objects.add(object_meta(entry), [position for position, _ in positions(table, entry)])
    rules.end()
    stats = Stats()

    def make() -> Callable[[int], None]:
        return _BucketWorker(repository, table, objects, sink, stats, observer).restore

    side_by_side(objects.seal(), make)
    return RestoreResult(
        tree=tree, files=len(objects), directories=0, symlinks=0, bytes=objects.bytes, packs=stats.packs
    )


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
