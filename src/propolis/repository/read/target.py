"""A folder that is being restored into: nothing outside of it can be reached, whatever a manifest says.

Every path is walked from the folder's own descriptor, one name at a time, without following links. Links are made
last, when nothing is written any more.
"""

from __future__ import annotations

import collections
import ctypes
import mmap
import os
import threading
from pathlib import Path

from propolis.errors import PropolisError
from propolis.filesystem import acl, attributes
from propolis.filesystem.attributes import Attributes
from propolis.filesystem.unkept import Tally

REFUSED = "attributes that the file system refuses: "
_USUAL = (1 << 31) * 10**9
"""Nanoseconds since 1970: any file system holds times before that."""
_OPEN_FOLDERS = 128
_CACHED = 64 << 20
"""Bytes in the system's cache that are worth writing back."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class Properties:
    """Mode, owner, time, extended attributes and access lists to give to something written."""

    __slots__ = ("attributes", "gid", "mode", "mtime_ns", "uid")

    def __init__(self, mode: int, owner: tuple[int, int] | None, mtime_ns: int, attributes: Attributes = ()) -> None:
        self.mode = mode
        self.uid, self.gid = owner if owner is not None else (-1, -1)
        self.mtime_ns = mtime_ns
        self.attributes = attributes

    def give(self, file: int, path: bytes, tally: Tally) -> None:
        """Set them on an open file or folder, which is private until then; what it can't have is counted.

        The owner comes first, since changing it clears bits of the mode; the access list before the mode: at no time
        may anybody more than they could before.
        """
        if self.uid >= 0 or self.gid >= 0:
            os.fchown(file, self.uid, self.gid)
        mode = self.mode
        if self.attributes:
            for name in attributes.write(file, self.attributes):
                tally.add(REFUSED + os.fsdecode(name), os.fsdecode(path))
                if name == attributes.ACCESS_LIST:
                    mode = acl.mode_without(dict(self.attributes)[name], mode)
        os.fchmod(file, mode)
        self._give_time(file, path, tally)

    def give_link(self, parent: int, name: bytes, path: bytes, tally: Tally) -> None:
        """Set them on a symbolic link in an open folder."""
        if self.uid >= 0:
            os.chown(name, self.uid, self.gid, dir_fd=parent, follow_symlinks=False)
        # A link can't be opened; its folder can.
        for attribute in attributes.write(b"/proc/self/fd/%d/%b" % (parent, name), self.attributes):
            tally.add(REFUSED + os.fsdecode(attribute), os.fsdecode(path))
        os.utime(name, ns=(self.mtime_ns, self.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _give_time(self, file: int, path: bytes, tally: Tally) -> None:
        os.utime(file, ns=(self.mtime_ns, self.mtime_ns))
        # The kernel takes the nearest that the file system can hold, without a word.
        if not 0 <= self.mtime_ns < _USUAL and os.fstat(file).st_mtime_ns != self.mtime_ns:
            tally.add("times that the file system can't hold", os.fsdecode(path))


def new_folder(target: Path) -> int:
    """Make the folder, or take an empty one, private until all is written; its descriptor."""
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = os.open(target, _FOLDER)
    except OSError as error:
        raise unwritable(target, error) from None
    try:
        if os.listdir(root):  # noqa: PTH208 - by descriptor
            raise PropolisError(
                f"The folder {target} is not empty", left="It was not changed", next="Choose an empty one"
            )
        attributes.drop_lists(root)
        os.fchmod(root, 0o700)
    except BaseException:
        os.close(root)
        raise
    return root


def unwritable(target: Path, error: OSError) -> PropolisError:
    """The error for a target that can't be written."""
    name = f" ({os.fsdecode(error.filename)})" if error.filename else ""
    return PropolisError(
        f"The restored data can't be written to {target}{name}: {error.strerror or error}",
        next="Free space or correct the permissions there, then restore again",
    )


def sync_filesystem(root: int) -> None:
    """Return once all that was written to the file system is on the disk; raises `OSError`."""
    if _libc.syncfs(root) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class WriteBack:
    """Has the system write to the disk what it holds in its cache while more is being written.

    So little is left to wait for at the end. For a `with` block; `wrote` may be called from any thread.
    """

    def __init__(self, root: int) -> None:
        """`root` is a descriptor of the file system's."""
        self._root = root
        self._lock = threading.Lock()
        self._cached = 0
        self._due = threading.Semaphore(0)
        self._ended = False
        self._lost: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="write-back", daemon=True)

    def wrote(self, size: int) -> None:
        """So many bytes of a file went to the cache; small files take a page at least."""
        with self._lock:
            self._cached += max(size, mmap.PAGESIZE)
            if self._cached < _CACHED:
                return
            self._cached = 0
        self._due.release()

    def finish(self) -> None:
        """Return once all is on the disk; raises `OSError`, also for what was lost on the way."""
        self._end()
        if self._lost is not None:  # the system tells of it once only
            raise self._lost
        sync_filesystem(self._root)

    def __enter__(self) -> WriteBack:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._due.release()
        self._thread.join()

    def _run(self) -> None:
        while self._due.acquire() and not self._ended:
            try:
                sync_filesystem(self._root)
            except OSError as error:
                self._lost = error
                return


class Folders:
    """Open descriptors of folders below a root, a bounded number. Not for several threads."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: collections.OrderedDict[bytes, int] = collections.OrderedDict()

    def of(self, path: bytes) -> tuple[int, bytes]:
        """The descriptor of the folder that holds `path`, and the name in it."""
        parent, _, name = path.rpartition(b"/")
        return self.folder(parent), name

    def folder(self, path: bytes) -> int:
        """The descriptor of a folder; valid until the next call. The root is the empty path."""
        if not path:
            return self._root
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        parent, _, name = path.rpartition(b"/")
        file = os.open(name, _FOLDER, dir_fd=self.folder(parent))
        while len(self._open) >= _OPEN_FOLDERS:
            os.close(self._open.popitem(last=False)[1])
        self._open[path] = file
        return file

    def close(self) -> None:
        """Close all but the root."""
        while self._open:
            os.close(self._open.popitem()[1])
