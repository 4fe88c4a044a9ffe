"""Cloning a stopped service's folder.

This is downtime, so it is built for speed. One thread lists folders and makes the system calls for small files
(measured: handing those to more threads costs more than it gains, since each call is short); the bytes of large
files are copied by a few others. No file costs a path object. Nothing is fsynced: a clone is thrown away after its
run, and after a power cut too.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

from propolis.clone import transfer
from propolis.clone.base import CloneReport, Immutable, KeptEmpty, Method, none_kept_empty
from propolis.clone.inodes import InodeTable
from propolis.clone.mounts import mounts_below
from propolis.clone.place import check_place, drop, names_directly_in
from propolis.clone.probe import probe
from propolis.errors import PreflightError
from propolis.filesystem import attributes
from propolis.filesystem.unkept import Tally, special_kind

_LARGE = 1 << 20
"""Bytes from which a copy goes to another thread."""

_THREADS = 4

_WAITING = 64
"""Large copies in hand at once: bounds open folders and memory."""

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class _Folder:
    """A folder being cloned. It gets its owner, mode and times, and is closed, once its last part is done."""

    prefix: str
    source: int
    target: int
    original: os.stat_result
    tally: Tally
    parts: int = 1
    lock: Lock = field(default_factory=Lock)

    def hold(self) -> None:
        with self.lock:
            self.parts += 1

    def release(self) -> None:
        with self.lock:
            self.parts -= 1
            if self.parts:
                return
        try:
            transfer.dress(self.target, self.source, self.original, self.prefix or ".", self.tally)
        finally:
            os.close(self.source)
            os.close(self.target)


def clone(
    folder: Path,
    destination: Path,
    immutable: Immutable,
    method: Method | None = None,
    leave_out: frozenset[str] = frozenset(),
    kept_empty: KeptEmpty = none_kept_empty,
) -> CloneReport:
    """Clone a stopped service's folder to a destination, which must be one that `place` names.

    Files share their blocks with the original where the method allows: by reflink all of them, as independent
    copies; by hard link those that are immutable by the rule. All others are really copied. A single file that
    can't be shared as the rest (other filesystem flags, too many links) is linked or copied instead. Owner,
    mode, times, extended attributes and access lists are kept, also of empty folders and symbolic links; so are
    holes and hard links within the folder. Sockets, pipes and devices are not, and named; nor is what lies in folders
    that are `kept_empty`. What lies directly in the folder and is named in `leave_out` is left out: what runs of this
    stack made there, clone and reserve among them.

    Raises PreflightError for something mounted below the folder, if the folder changes meanwhile, and if the
    filesystem is full or refuses; then the half-made clone is gone again.
    """
    started = time.perf_counter()
    source = folder.resolve()
    check_place(destination)
    if not source.is_dir():
        raise PreflightError(
            f"{folder} is not a folder that Propolis can see", left="Nothing was changed", next="Check its path"
        )
    refuse_mounts(source)
    method = method or probe(source)
    leave_out |= names_directly_in(source, [destination])
    job = _Job(source, destination, immutable, method, leave_out, kept_empty)
    try:
        destination.mkdir(mode=0o700)
    except OSError as error:
        raise PreflightError(
            f"The clone of {source} can't be made at {destination}: {error.strerror}",
            left=f"{source} was not changed",
            next="Remove what an earlier run left with `propolis recover`, and check the folder's owner",
        ) from error
    try:
        job.run()
    except PreflightError as error:
        drop(destination)
        raise PreflightError(
            error.what, left=f"{source} was not changed, and the unfinished clone was removed", next=error.next
        ) from error
    return CloneReport(
        source=source,
        clone=destination,
        method=method,
        files=job.files,
        bytes_shared=job.shared,
        bytes_copied=job.copied,
        seconds=time.perf_counter() - started,
        folders=job.folders,
        unkept=tuple(job.tally.all()),
        inodes=job.inodes,
        linked=frozenset(job.linked),
    )


def refuse_mounts(folder: Path) -> None:
    """Raise PreflightError if something is mounted below a resolved folder: it can neither be shared nor left out."""
    mounted = mounts_below(folder)
    if mounted:
        raise _mounted(mounted[0], folder)


class _Job:
    """One clone under way."""

    def __init__(
        self,
        source: Path,
        destination: Path,
        immutable: Immutable,
        method: Method,
        leave_out: frozenset[str],
        kept_empty: KeptEmpty,
    ) -> None:
        self.source = source
        self.destination = destination
        self.immutable = immutable
        self.method = method
        self.leave_out = leave_out
        self.kept_empty = kept_empty
        self.files = self.folders = self.shared = self.copied = 0
        self.tally = Tally()
        self.inodes = InodeTable()
        self.linked: set[int] = set()
        self._root = -1
        self._first_names: dict[int, str] = {}
        """Inode of an original with several names → path of what was made of it."""
        self._failed = Event()
        self._large: deque[Future[int]] = deque()

    def run(self) -> None:
        try:
            source = os.open(self.source, _OPEN_FOLDER)
            target = os.open(self.destination, _OPEN_FOLDER)
            attributes.drop_lists(target)  # those of its parent, which everything in it would inherit
            self._root = target
            root = _Folder("", source, target, os.fstat(source), self.tally)
            try:
                with ThreadPoolExecutor(_THREADS, thread_name_prefix="clone") as threads:
                    try:
                        self._take_all(root, threads)
                        while self._large:
                            self.copied += self._large.popleft().result()
                    except BaseException:
                        # Copies that wait see this and end at once; each lets go of its folder.
                        self._failed.set()
                        raise
            finally:
                # Last of all: until then nobody else can reach into the clone and turn it against us.
                root.release()
        except OSError as error:
            raise self._explained(error, str(error.filename or "")) from error

    def _take_all(self, root: _Folder, threads: ThreadPoolExecutor) -> None:
        root.hold()
        part = root
        waiting: list[tuple[str, int]] = []
        while True:
            self.folders += 1
            kind = self.kept_empty(part.prefix[:-1])
            try:
                with os.scandir(part.source) as entries:
                    for entry in entries:
                        if not part.prefix and entry.name in self.leave_out:
                            continue
                        if kind is not None:
                            self.tally.add(kind, part.prefix[:-1])
                            break
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(self._make(part, entry))
                        else:
                            self._take(part, entry, threads)
            finally:
                part.release()
            if not waiting:
                return
            part = self._open(root, *waiting.pop())

    def _make(self, part: _Folder, entry: os.DirEntry[str]) -> tuple[str, int]:
        path = part.prefix + entry.name
        try:
            os.mkdir(entry.name, 0o700, dir_fd=part.target)
            return path, entry.stat(follow_symlinks=False).st_ino
        except OSError as error:
            raise self._explained(error, path) from error

    def _open(self, root: _Folder, path: str, inode: int) -> _Folder:
        source = os.open(path, _OPEN_FOLDER, dir_fd=root.source)
        try:
            original = os.fstat(source)
            if original.st_dev != root.original.st_dev:
                raise _mounted(self.source / path, self.source)
            if original.st_ino != inode:
                raise self._changed(path)
            target = os.open(path, _OPEN_FOLDER, dir_fd=root.target)
        except BaseException:
            os.close(source)
            raise
        return _Folder(f"{path}/", source, target, original, self.tally)

    def _take(self, part: _Folder, entry: os.DirEntry[str], threads: ThreadPoolExecutor) -> None:
        path = part.prefix + entry.name
        try:
            original = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(original.st_mode):
                self.files += 1
                self._take_file(part, entry.name, original, threads)
            elif stat.S_ISLNK(original.st_mode):
                transfer.symlink(path, part.source, part.target, original, self.tally)
                self.files += 1
            else:
                self.tally.add(special_kind(original.st_mode), path)
        except OSError as error:
            raise self._explained(error, path) from error

    def _take_file(self, part: _Folder, name: str, original: os.stat_result, threads: ThreadPoolExecutor) -> None:
        path = part.prefix + name
        several = original.st_nlink > 1
        first = self._first_names.get(original.st_ino) if several else None
        if first is not None:
            transfer.link_within(first, self._root, name, part.target)
        elif self.method is Method.REFLINK and transfer.reflink(path, part.source, part.target, original, self.tally):
            self.shared += original.st_size
        elif (
            self.method is not Method.COPY and self.immutable(path) and transfer.link(name, part.source, part.target)
        ):
            self.shared += original.st_size
            if several:
                self.linked.add(original.st_ino)
            return
        elif original.st_size < _LARGE or several:
            self.copied += self._copy(part, name)
        else:
            if len(self._large) >= _WAITING:
                self.copied += self._large.popleft().result()
            part.hold()
            self._large.append(threads.submit(self._copy_large, part, name))
        if several:
            self._first_names.setdefault(original.st_ino, path)
        self.inodes.add(path, original.st_ino)

    def _copy_large(self, part: _Folder, name: str) -> int:
        try:
            return 0 if self._failed.is_set() else self._copy(part, name)
        finally:
            part.release()

    def _copy(self, part: _Folder, name: str) -> int:
        try:
            return transfer.copy(part.prefix + name, part.source, part.target, self._failed, self.tally)
        except transfer.Changed as error:
            raise self._changed(part.prefix + name) from error
        except OSError as error:
            raise self._explained(error, part.prefix + name) from error

    def _changed(self, path: str) -> PreflightError:
        return PreflightError(
            f"{self.source / path} changed while {self.source} was cloned",
            next="Make sure that its service is stopped and that nothing else writes there",
        )

    def _explained(self, error: OSError, path: str) -> PreflightError:
        where = self.source / path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return PreflightError(
                f"The filesystem of {self.destination.parent} is full: "
                f"the clone of {self.source} got as far as {path}",
                next="Free some space there, or an allowance (quota), and try again",
            )
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            return self._changed(path)
        advice = {
            errno.EXDEV: "Nothing may be mounted between a folder and its clone; see `propolis doctor`",
            errno.EACCES: "Run Propolis as root",
            errno.EPERM: "Run Propolis as root",
            errno.EIO: "Check the system log for disk errors",
        }
        return PreflightError(
            f"{where} could not be cloned: {error.strerror}",
            next=advice.get(error.errno or 0, "Fix the cause and try again"),
        )


def _mounted(point: Path, folder: Path) -> PreflightError:
    return PreflightError(
        f"{point} is a separate filesystem or subvolume inside {folder}: one clone can't hold both",
        left="Nothing was changed",
        next="List it in the configuration as a separate folder, or unmount it",
    )
