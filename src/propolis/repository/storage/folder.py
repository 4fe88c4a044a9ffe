"""A repository in a folder (a disk, NFS): private, atomic, durable.

An object is written beside its place and renamed, so a name never shows half an object. Writing back to the disk
begins at once; `flush` waits for it. A name may outlive a power cut with no content behind it, but nothing refers
to a name before a `flush`.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from propolis.errors import IntegrityError, PropolisError, RepositoryError
from propolis.repository.io import direct
from propolis.repository.io.stream import PIECE, Stream
from propolis.repository.storage.base import (
    MissingObjectError,
    NoFolderError,
    NoRoomError,
    ObjectExistsError,
    ObjectLock,
    Stored,
    check_size,
    checked_name,
)
from propolis.repository.storage.kinds import TEMPORARY

_MIB = 1 << 20
_PRUNE = "Run `propolis repository prune`, for which a reserve is kept"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DISK_ERRORS = (errno.EIO, errno.EBADMSG, errno.EUCLEAN)
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class FolderStorage:
    """Objects as files below one folder; files 0600, folders 0700.

    A `Storage`, and its own `LocalFolder` and `Disk`.
    """

    lock: ObjectLock | None = None
    at: datetime.datetime | None = None

    def __init__(self, root: Path, place: str = "") -> None:
        """`place`: how people call it, unless by its path."""
        self.root = root
        self._place = place or str(root)
        self._lock = threading.Lock()
        self._folders: set[Path] = set()
        self._unflushed: list[Path] = []
        self._emptied: set[Path] = set()
        self._flushing = threading.Lock()
        self._lost: RepositoryError | None = None
        """Why a flush failed. The system tells of a lost write once only, so no later flush may succeed."""

    @property
    def folder(self) -> FolderStorage:
        """See `Storage.folder`."""
        return self

    @property
    def disk(self) -> FolderStorage:
        """See `Storage.disk`."""
        return self

    @property
    def place(self) -> str:
        """The folder's path."""
        return self._place

    def prepare(self) -> None:
        """Create the folder, private to its owner."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self.failed("be created", error) from None

    def put(self, name: str, data: bytes | bytearray | memoryview, *, create: bool = False) -> None:
        """See `Storage.put`."""
        try:
            path = self.place_for(name)
            if create:
                self._create(path, data, name)
                return
            temporary = self.temporary()
            try:
                self._write(temporary, data, sync=False)
                temporary.rename(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            with self._lock:
                self._unflushed.append(path)
        except OSError as error:
            raise self.failed("be written", error) from None

    def allocate(self, name: str, size: int) -> None:
        """Have `size` bytes of the disk taken up by an object of that name; what it holds means nothing. Durable."""
        path = self._path(name)
        try:
            temporary = self._take(size)
            temporary.rename(path)
            _sync(path.parent)
        except OSError as error:
            raise self.failed("be written", error) from None

    def has_room(self, size: int) -> bool:
        """Whether so many bytes can be stored now: tried, since quotas show in no other way. True if unknown."""
        try:
            self._take(size).unlink(missing_ok=True)
        except OSError as error:
            return error.errno not in _FULL
        return True

    def _take(self, size: int) -> Path:
        """A temporary file that really takes up so many bytes."""
        temporary = self.temporary()
        try:
            with open(temporary, "xb", buffering=0, opener=_private) as file:
                os.posix_fallocate(file.fileno(), 0, size)
                if os.fstat(file.fileno()).st_blocks * 512 < size:
                    # Where nothing can be allocated ahead, only what can't be compressed takes space.
                    for offset in range(0, size, _MIB):
                        file.write(os.urandom(min(_MIB, size - offset)))
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    def get(self, name: str, limit: int) -> memoryview:
        """See `Storage.get`."""
        try:
            with self._opened(name) as file:
                size = check_size(os.fstat(file).st_size, limit, name)
                target = memoryview(bytearray(size))
                return target[: direct.read(file, target, size)]
        except OSError as error:
            raise self._unread(error, name) from None

    @contextlib.contextmanager
    def stream(self, name: str, limit: int) -> Iterator[Stream]:
        """See `Storage.stream`."""
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self._opened(name))
                size = check_size(os.fstat(file).st_size, limit, name)
            except OSError as error:
                raise self._unread(error, name) from None
            yield Stream(size, self._pieces(file, size, name))

    def _pieces(self, file: int, size: int, name: str) -> Iterator[memoryview]:
        target = direct.buffer(PIECE)
        try:
            for offset in range(0, size, PIECE):
                wanted = min(PIECE, size - offset)
                count = direct.read(file, target, wanted, offset, whole=size)
                yield target[:count]
                if count < wanted:
                    return
        except OSError as error:
            raise self._unread(error, name) from None

    def head(self, name: str, count: int) -> memoryview:
        """See `Storage.head`."""
        try:
            with self._opened(name) as file:
                target = memoryview(bytearray(min(count, os.fstat(file).st_size)))
                return target[: direct.read(file, target, len(target))]
        except OSError as error:
            raise self._unread(error, name) from None

    def read_part(self, name: str, target: memoryview, start: int, count: int) -> tuple[int, int, str]:
        """Read at most `count` bytes into `target`: how many, the object's size, and which of that name it is."""
        try:
            with self._opened(name) as file:
                status = os.fstat(file)
                wanted = max(0, min(count, status.st_size - start))
                done = direct.read(file, target, wanted, start, whole=status.st_size)
                return done, status.st_size, f"{status.st_ino} {status.st_mtime_ns}"
        except OSError as error:
            raise self._unread(error, name) from None

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        try:
            return self._path(name).lstat().st_size
        except FileNotFoundError:
            self.require_there()
            return None
        except OSError as error:
            raise self._unread(error, name) from None

    def list(self, prefix: str) -> Iterator[Stored]:
        """See `Storage.list`."""
        try:
            yield from self._walk(self._path(prefix) if prefix else self.root, f"{prefix}/" if prefix else "")
        except OSError as error:
            raise self.failed("be listed", error, prefix) from None

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        try:
            path = self._path(name)
            with self._lock:
                if path in self._unflushed:
                    self._unflushed.remove(path)
            path.unlink(missing_ok=True)
            with self._lock:
                self._emptied.add(path.parent)
        except OSError as error:
            raise self.failed("be changed", error) from None

    def flush(self) -> None:
        """Wait for the disk: every new object, then the folders that hold them or held what was deleted."""
        # A second caller waits for the first: its own objects may be among those that the first took on.
        with self._flushing:
            if self._lost is not None:
                raise self._lost
            with self._lock:
                paths, self._unflushed = self._unflushed, []
                folders, self._emptied = self._emptied, set()
            try:
                for path in paths:
                    _sync(path)
                for folder in folders.union(path.parent for path in paths):
                    if folder.is_dir():
                        _sync(folder)
            except OSError as error:
                self._lost = self.failed("be written", error)
                raise self._lost from None

    def sync_folders(self, folders: Iterable[str]) -> None:
        """Make durable what was deleted in these folders."""
        with self._lock:
            self._emptied.update(self._path(folder) for folder in folders)
        self.flush()

    def temporary(self) -> Path:
        """A path for what has no name yet."""
        self._make_folder(self.root / TEMPORARY)
        return self.root / TEMPORARY / secrets.token_hex(16)

    def require_there(self) -> None:
        """Fail when the whole folder has gone: an unplugged disk is not an empty repository."""
        if not self.root.is_dir():
            error = FileNotFoundError(errno.ENOENT, "there is no such folder")
            raise self.failed("be reached", error, kind=NoFolderError)

    def place_for(self, name: str) -> Path:
        """Where an object goes, in a folder that is there."""
        path = self._path(name)
        self._make_folder(path.parent)
        return path

    def _path(self, name: str) -> Path:
        return self.root / checked_name(name)

    def _make_folder(self, folder: Path) -> None:
        if folder in self._folders:
            return
        self.require_there()
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            new.mkdir(mode=0o700, exist_ok=True)
            _sync(new.parent)
        with self._lock:
            self._folders.update(missing or [folder])

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        try:
            file = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            self.require_there()
            raise MissingObjectError(
                f"{name} is missing from the repository {self.place}",
                next="Run `propolis repository check`, and use another backup or a copy of the repository",
            ) from None
        try:
            yield file
        finally:
            os.close(file)

    def _create(self, path: Path, data: bytes | bytearray | memoryview, name: str) -> None:
        temporary = self.temporary()
        try:
            self._write(temporary, data, sync=True)
            try:
                path.hardlink_to(temporary)
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                self._create_in_place(path, data)
        except FileExistsError:
            raise ObjectExistsError(f"{name} exists already in the repository {self.place}") from None
        finally:
            temporary.unlink(missing_ok=True)
        _sync(path.parent)

    def _create_in_place(self, path: Path, data: bytes | bytearray | memoryview) -> None:
        """For file systems without hard links: another reader may see the object before it is whole."""
        try:
            self._write(path, data, sync=True)
        except FileExistsError:
            raise
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _write(self, path: Path, data: bytes | bytearray | memoryview, *, sync: bool) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            direct.write(file, memoryview(data))
            if sync:
                os.fsync(file)
        finally:
            os.close(file)

    def _walk(self, folder: Path, prefix: str) -> Iterator[Stored]:
        try:
            entries = os.scandir(folder)
        except FileNotFoundError:
            self.require_there()
            return
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(folder / entry.name, f"{prefix}{entry.name}/")
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # removed since it was listed
                yield Stored(f"{prefix}{entry.name}", status.st_size, status.st_mtime_ns)

    def _unread(self, error: OSError, name: str) -> PropolisError:
        """A disk that can't read an object has damaged it; any other failure says nothing of the object."""
        if error.errno in _DISK_ERRORS:
            return IntegrityError(
                f"{name} in the repository {self.place} can't be read from its disk: {error.strerror}",
                next="Check the system log for disk errors, and run `propolis repository check`",
            )
        return self.failed("be read", error, name)

    def failed(
        self, what: str, error: OSError, name: str = "", kind: type[RepositoryError] | None = None
    ) -> RepositoryError:
        """The error for what the system refused, e.g. that an object can't `be read`."""
        where = f"{name} in the repository {self.place}" if name else f"The repository {self.place}"
        advice = {
            errno.ENOSPC: f"{_PRUNE}, or free some space, then run the command again: data stored so far is not "
            "stored again",
            errno.EDQUOT: f"{_PRUNE}, or raise the quota, then run the command again: data stored so far is not "
            "stored again",
            errno.EACCES: "Run as a user who may use the folder, or change its owner",
            errno.EPERM: "Run as a user who may use the folder, or change its owner",
            errno.EROFS: "Mount it writable",
            errno.ENOENT: "Mount or create the folder; `propolis repository init` creates a new repository",
        }
        reason = error.strerror or str(error)
        if kind is None:
            kind = NoRoomError if error.errno in _FULL else RepositoryError
        return kind(f"{where} can't {what}: {reason}", next=advice.get(error.errno or 0, ""))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
