"""Single files of a backup, written into a folder where nothing of that name is yet.

They are restored into a folder of their own inside the target, as a restore does it, and get their names once all of
them are whole and on the disk. So whatever ends it early leaves nothing that looks finished.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propolis.errors import IntegrityError, PropolisError
from propolis.filesystem.attributes import drop_lists
from propolis.filesystem.moving import is_folder, move_new
from propolis.filesystem.paths import shown
from propolis.filesystem.unkept import Unkept, joined
from propolis.repository.browse.choose import Chosen, label_of
from propolis.repository.format.entries import BackupId, Entry, TreeHeader
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.rules import bad_path, safe_parts
from propolis.repository.format.table import SegmentTable
from propolis.repository.model import Observer, RestoreResult
from propolis.repository.read.extras import Owner
from propolis.repository.read.restore import PathFilter, restore_bucket, restore_folder
from propolis.repository.read.target import Folders, sync_filesystem, unwritable
from propolis.repository.repository import Repository
from propolis.s3.objects import ObjectMeta

STAGING = ".propolis-extract-"
"""How the folder is called, with a random end, in which files lie until all are whole."""
_SHOWN = 5
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class ExtractResult:
    """What was written, and what was not."""

    backup: BackupId
    to: str
    paths: tuple[Chosen, ...]
    """What each path of the command line meant."""
    files: int
    """Files and objects written."""
    bytes: int
    packs: int
    """Packs fetched for them."""
    unnamable: tuple[str, ...] = ()
    """Objects whose key can't be a file's name."""
    unkept: tuple[Unkept, ...] = ()
    """What the backup holds of these files and they did not get."""
    leftovers: tuple[str, ...] = ()
    """Folders of extracts that were killed, or are under way."""


@dataclass
class Extract:
    """Files chosen of a backup, for a target."""

    manifest: Manifest
    to: Path
    paths: tuple[Chosen, ...]
    trees: list[TreeHeader]
    """Those that hold any of them."""

    def filter_of(self, tree: TreeHeader) -> PathFilter:
        """Which paths of a tree are meant."""
        name = tree.name
        return lambda path: any(one.means(label_of(name, path)) for one in self.paths)

    @property
    def missing(self) -> list[Chosen]:
        """Paths that the backup lacks."""
        return [one for one in self.paths if not one.found]


def choose(manifest: Manifest, paths: Sequence[str], to: Path) -> Extract:
    """Find what the paths mean, and that nothing of it is in the target yet; nothing is written.

    Raises `PropolisError` for a target that can't be taken, `IntegrityError` for a backup that breaks the rules.
    """
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise PropolisError(f"{to} is not a folder", left="Nothing was written", next="Give another one with --to")
    found = Extract(manifest, to, tuple(Chosen(path) for path in dict.fromkeys(paths)), [])
    hit: dict[str, None] = {}
    taken: list[bytes] = []
    root = os.fsencode(to)
    look = to.is_dir() and any(to.iterdir())
    for entry in manifest.entries():
        label = label_of(entry.tree, entry.path)
        meant = [one for one in found.paths if one.means(label)]
        for one in meant:
            one.count(entry)
        if not meant:
            continue
        if manifest.header.tree(entry.tree) is None:
            raise IntegrityError(f"{shown(label)} belongs to no tree of the backup {manifest.id}")
        hit[entry.tree] = None
        if look and entry.type != "d" and len(taken) < _SHOWN and os.path.lexists(root + b"/" + label):
            taken.append(label)
    if taken:
        raise already_there(to, taken)
    found.trees = [tree for tree in manifest.header.trees if tree.name in hit]
    for tree in found.trees:
        safe_parts(tree.name.encode(), f"The backup's tree {tree.name}")
    return found


def extract(
    repository: Repository, chosen: Extract, *, owner: Owner | None = None, observer: Observer | None = None
) -> ExtractResult:
    """Write what was chosen; either all of it gets its name, or nothing does.

    `owner`: whose the files become; None: the user's own. Raises as `restore_folder` does, and `PropolisError` when
    something of that name is there by then.
    """
    repository.require_pack_key()
    made = _make(chosen.to)
    try:
        root = os.open(chosen.to, _FOLDER)
        try:
            leftovers = tuple(str(path) for path in sorted(chosen.to.glob(f"{STAGING}*")))
            results, unnamable = _extract(repository, chosen, root, owner or _nobody, observer)
            sync_filesystem(root)
        finally:
            os.close(root)
    except BaseException as error:
        for folder in reversed(made):  # those that are empty are as they were
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise unwritable(chosen.to, error) from None
        raise
    return ExtractResult(
        backup=chosen.manifest.id,
        to=str(chosen.to),
        paths=chosen.paths,
        files=sum(result.files for result in results),
        bytes=sum(result.bytes for result in results),
        packs=sum(result.packs for result in results),
        unnamable=tuple(unnamable),
        unkept=tuple(joined(result.unkept for result in results)),
        leftovers=leftovers,
    )


def already_there(to: Path, labels: Iterable[bytes]) -> PropolisError:
    """The error for a target that has files of these names."""
    named = ", ".join(shown(label) for label in labels)
    return PropolisError(
        f"{to} has these files already: {named}",
        left="Nothing was written: files are never overwritten",
        next="Give another folder with --to, or move the files away",
    )


def _extract(
    repository: Repository, chosen: Extract, root: int, owner: Owner, observer: Observer | None
) -> tuple[list[RestoreResult], list[str]]:
    name = f"{STAGING}{secrets.token_hex(8)}".encode()
    os.mkdir(name, 0o700, dir_fd=root)
    stage = chosen.to / os.fsdecode(name)
    unnamable: list[str] = []
    try:
        with _opened(root, name) as staged:
            drop_lists(staged)  # those of the target, which everything in it would inherit
        table = repository.load_table()
        results = [_tree(repository, chosen, tree, stage, table, owner, observer, unnamable) for tree in chosen.trees]
        _name_all(chosen.to, root, name)
    finally:
        _remove(stage)
    return results, unnamable


def _tree(
    repository: Repository,
    chosen: Extract,
    tree: TreeHeader,
    stage: Path,
    table: SegmentTable,
    owner: Owner,
    observer: Observer | None,
    unnamable: list[str],
) -> RestoreResult:
    wanted, target = chosen.filter_of(tree), stage / tree.name
    if tree.kind == "folder":
        return restore_folder(
            repository,
            chosen.manifest,
            tree.name,
            target,
            owner=owner,
            paths=wanted,
            observer=observer,
            table=table,
        )
    target.mkdir(mode=0o700, parents=True)
    with FolderSink(target) as sink:

        def namable(key: bytes) -> bool:
            if not wanted(key):
                return False
            if bad_path(key) is None and sink.room_for(key):
                return True
            name = shown(label_of(tree.name, key))
            if name not in unnamable:
                unnamable.append(name)
            return False

        result = restore_bucket(
            repository, chosen.manifest, tree.name, sink, paths=namable, observer=observer, table=table
        )
        sink.sync()
    return result


class FolderSink:
    """A folder that takes objects as files, their keys as paths. For a `with` block; any thread may `put`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        # 64 bits each, of a hash that nobody outside can aim at.
        self._files: set[int] = set()
        self._above: set[int] = set()

    def __enter__(self) -> FolderSink:
        self._root = os.open(self._folder, _FOLDER)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    def room_for(self, key: bytes) -> bool:
        """Whether this key can be a file's path beside those asked for before: none is both a file and a folder."""
        parts = key.split(b"/")
        above = {hash(b"/".join(parts[:depth])) for depth in range(1, len(parts))}
        if hash(key) in self._above or not above.isdisjoint(self._files):
            return False
        self._files.add(hash(key))
        self._above |= above
        return True

    def put(self, meta: ObjectMeta, chunks: Iterable[Any]) -> None:
        """Write an object; the file gets its time. Raises `PropolisError`."""
        key = meta.key.encode()
        folders = Folders(self._root)
        try:
            parent, name = self._parent(folders, key)
            file = os.open(name, _CREATE, 0o600, dir_fd=parent)
            try:
                for chunk in chunks:
                    data = memoryview(chunk)
                    while data:
                        data = data[os.write(file, data) :]
                os.utime(file, ns=(meta.last_modified_ns, meta.last_modified_ns))
            finally:
                os.close(file)
        except OSError as error:
            raise unwritable(self._folder, error) from None
        finally:
            folders.close()

    def sync(self) -> None:
        """Return once all is on the disk; raises `OSError`."""
        sync_filesystem(self._root)

    def _parent(self, folders: Folders, key: bytes) -> tuple[int, bytes]:
        parts = key.split(b"/")
        with self._lock:
            for depth in range(1, len(parts)):
                above, name = folders.of(b"/".join(parts[:depth]))
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=above)
        return folders.of(key)


def _name_all(to: Path, root: int, name: bytes) -> None:
    """Move what is staged to where it belongs; where that fails, what was moved goes back."""
    moved: list[bytes] = []
    with _opened(root, name) as staged:
        try:
            _merge(staged, root, b"", moved)
        except BaseException as error:
            _move_back(staged, root, moved)
            if isinstance(error, FileExistsError):
                raise already_there(to, [os.fsencode(error.filename)]) from None
            raise


def _merge(source: int, target: int, prefix: bytes, moved: list[bytes]) -> None:
    """Move all in one open folder into another. Folders that both have are merged; links are never followed."""
    for name in sorted(os.listdir(source)):
        raw = os.fsencode(name)
        path = prefix + raw
        try:
            with _movable(source, raw):
                move_new(source, raw, target, raw)
        except FileExistsError:
            if not (is_folder(source, raw) and is_folder(target, raw)):
                raise FileExistsError(0, "", os.fsdecode(path)) from None
            with _opened(source, raw) as inner, _opened(target, raw) as there:
                os.fchmod(inner, stat.S_IRWXU)  # it stays behind, and what is in it has to leave
                _merge(inner, there, path + b"/", moved)
        else:
            moved.append(path)


def _move_back(source: int, target: int, moved: list[bytes]) -> None:
    there, here = Folders(target), Folders(source)
    try:
        for path in reversed(moved):
            folder, name = there.of(path)
            with _movable(folder, name):
                move_new(folder, name, here.of(path)[0], name)
    finally:
        there.close()
        here.close()


@contextlib.contextmanager
def _movable(folder: int, name: bytes) -> Iterator[None]:
    """A folder can be moved by others than root only while they may write to it."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & stat.S_IWUSR
    if not closed:
        yield
        return
    with _opened(folder, name) as held:
        os.fchmod(held, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
        try:
            yield
        finally:
            os.fchmod(held, stat.S_IMODE(status.st_mode))


@contextlib.contextmanager
def _opened(folder: int, name: bytes) -> Iterator[int]:
    """A folder in an open folder; links to one are refused."""
    found = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield found
    finally:
        os.close(found)


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it that are missing; those that were made."""
    made: list[Path] = []
    for path in reversed([folder, *folder.parents]):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            if path.is_dir():
                continue
            raise unwritable(folder, error) from None
        made.append(path)
    return made


def _remove(stage: Path) -> None:
    """Remove what is still staged; what can't be removed stays under its name, which tells that it isn't finished."""
    for where, folders, _ in os.walk(os.fsencode(stage)):
        for name in folders:  # before they are gone into
            path = os.path.join(where, name)  # noqa: PTH118 - bytes
            if not os.path.islink(path):  # noqa: PTH114
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)  # noqa: PTH101
    shutil.rmtree(stage, ignore_errors=True)


def _nobody(entry: Entry) -> None:
    """Leave every file to the user who extracts it."""
