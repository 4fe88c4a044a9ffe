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
from propolis.clone.base import CloneReport, Immutable, Method
from propolis.clone.inodes import InodeTable
from propolis.clone.mounts import mounts_below
from propolis.clone.place import check_place, drop, names_directly_in
from propolis.clone.probe import probe
from propolis.errors import PreflightError

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
            transfer.dress(self.target, self.original)
        finally:
            os.close(self.source)
            os.close(self.target)


def clone(
    folder: Path,
    destination: Path,
    immutable: Immutable,
    method: Method | None = None,
    leave_out: frozenset[str] = frozenset(),
) -> CloneReport:
    """Clone a stopped service's folder to a destination, which must be one that `place` names.

    Files share their blocks with the original where the method allows: by reflink all of them, as independent
    copies; by hard link those that are immutable by the rule. All others are really copied. A single file that
    can't be shared as the rest (other filesystem flags, too many links) is linked or copied instead. Owner,
    mode and times are kept, also of empty folders and symbolic links; extended attributes are not.
    Sockets, pipes and devices are skipped and named. What lies directly in the folder and is named in
    `leave_out` is left out: what runs of this stack made there, clone and reserve among them.

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
    job = _Job(source, destination, immutable, method, leave_out)
    try:
        destination.mkdir(mode=0o700)
    except OSError as error:
        raise PreflightError(
            f"The clone of {source} can't be made at {destination}: {error.strerror}",
            left=f"{source} is untouched",
            next="Remove what an earlier run left with `propolis recover`, and check the folder's owner",
        ) from error
    try:
        job.run()
    except PreflightError as error:
        drop(destination)
        raise PreflightError(
            error.what, left=f"{source} is untouched and the half-made clone removed", next=error.next
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
        skipped=tuple(sorted(job.skipped)),
        inodes=job.inodes,
    )


def refuse_mounts(folder: Path) -> None:
    """Raise PreflightError if something is mounted below a resolved folder: it can neither be shared nor left out."""
    mounted = mounts_below(folder)
    if mounted:
        raise _mounted(mounted[0], folder)


class _Job:
    """One clone under way."""

    def __init__(
        self, source: Path, destination: Path, immutable: Immutable, method: Method, leave_out: frozenset[str]
    ) -> None:
        self.source = source
        self.destination = destination
        self.immutable = immutable
        self.method = method
        self.leave_out = leave_out
        self.files = self.folders = self.shared = self.copied = 0
        self.skipped: list[str] = []
        self.inodes = InodeTable()
        self._failed = Event()
        self._large: deque[Future[int]] = deque()

    def run(self) -> None:
        try:
            source = os.open(self.source, _OPEN_FOLDER)
            target = os.open(self.destination, _OPEN_FOLDER)
            root = _Folder("", source, target, os.fstat(source))
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
            try:
                with os.scandir(part.source) as entries:
                    for entry in entries:
                        if not part.prefix and entry.name in self.leave_out:
                            continue
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
        return _Folder(f"{path}/", source, target, original)

    def _take(self, part: _Folder, entry: os.DirEntry[str], threads: ThreadPoolExecutor) -> None:
        name = entry.name
        path = part.prefix + name
        try:
            original = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(original.st_mode):
                if stat.S_ISLNK(original.st_mode):
                    transfer.symlink(name, part.source, part.target, original)
                    self.files += 1
                else:
                    self.skipped.append(path)
                return
            self.files += 1
            if self.method is Method.REFLINK and transfer.reflink(name, part.source, part.target, original):
                self.shared += original.st_size
            elif (
                self.method is not Method.COPY
                and self.immutable(path)
                and transfer.link(name, part.source, part.target)
            ):
                self.shared += original.st_size
                return
            elif original.st_size < _LARGE:
                self.copied += self._copy(part, name)
            else:
                if len(self._large) >= _WAITING:
                    self.copied += self._large.popleft().result()
                part.hold()
                self._large.append(threads.submit(self._copy_large, part, name))
            self.inodes.add(path, original.st_ino)
        except OSError as error:
            raise self._explained(error, path) from error

    def _copy_large(self, part: _Folder, name: str) -> int:
        try:
            return 0 if self._failed.is_set() else self._copy(part, name)
        finally:
            part.release()

    def _copy(self, part: _Folder, name: str) -> int:
        try:
            return transfer.copy(name, part.source, part.target, stop=self._failed)
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
            errno.EIO: "Look into the system's log for disk errors",
        }
        return PreflightError(
            f"{where} could not be cloned: {error.strerror}",
            next=advice.get(error.errno or 0, "See the cause and try again"),
        )


def _mounted(point: Path, folder: Path) -> PreflightError:
    return PreflightError(
        f"{point} is a filesystem or subvolume of its own inside {folder}: one clone can't hold both",
        left="Nothing was changed",
        next="Name it in the configuration as a folder of its own, or unmount it",
    )
