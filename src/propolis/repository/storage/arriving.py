"""An object that comes into a folder piece by piece, of which no more than a few MiB are in memory."""

from __future__ import annotations

import contextlib
import os

from propolis.filesystem.moving import move_new
from propolis.repository.io import direct
from propolis.repository.storage.base import ObjectExistsError
from propolis.repository.storage.folder import FolderStorage

_GATHER = direct.LEAST
"""Bytes that are written at once."""


class Arriving:
    """It gets its name when it is whole and on the disk; until then it is nothing. Not for several threads."""

    def __init__(self, storage: FolderStorage, name: str, size: int, *, create: bool, keep: bool) -> None:
        """`create`: an object of that name is not replaced. `keep`: neither, but one of the same bytes is fine.

        Raises `RepositoryError` when it can't be stored there.
        """
        self.size = size
        self._create, self._keep = create, keep
        self.missing = size
        """Bytes that have yet to come."""
        self._storage, self._name = storage, name
        self._gathered = direct.buffer(_GATHER) if size >= _GATHER else memoryview(bytearray(size))
        self._filled = self._written = 0
        self._file = -1
        try:
            self._path = storage.place_for(name)
            self._temporary = storage.temporary()
            self._file = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage.failed("be written", error) from None

    def add(self, data: memoryview) -> None:
        """The next bytes. Raises ValueError when there are more than were said, `RepositoryError`."""
        if len(data) > self.missing:
            raise ValueError(f"{self._name} has more than {self.size} bytes")
        self.missing -= len(data)
        try:
            while data:
                part = data[: _GATHER - self._filled]
                self._gathered[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
                data = data[len(part) :]
                if self._filled == _GATHER:
                    self._write()
        except OSError as error:
            raise self._storage.failed("be written", error) from None

    def finish(self) -> None:
        """Give it its name: durable when this returns. All must have come.

        Raises `ObjectExistsError` when there is an object of that name that isn't replaced, `RepositoryError`.
        """
        try:
            self._write()
            os.fsync(self._file)
            if self._create or self._keep:
                self._move_new()
            else:
                self._temporary.rename(self._path)
            _sync(self._path.parent)
        except OSError as error:
            raise self._storage.failed("be written", error) from None
        finally:
            self.drop()

    def drop(self) -> None:
        """Leave nothing of it, unless it has its name. May be called again."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
        self._file = -1

    def _write(self) -> None:
        direct.write(self._file, self._gathered[: self._filled], self._written)
        self._written += self._filled
        self._filled = 0

    def _move_new(self) -> None:
        source = os.open(self._temporary.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        target = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            move_new(source, os.fsencode(self._temporary.name), target, os.fsencode(self._path.name))
        except FileExistsError:
            if not self._create and self._is_there():
                return
            raise ObjectExistsError(f"{self._name} exists already in the repository {self._storage.place}") from None
        finally:
            os.close(source)
            os.close(target)

    def _is_there(self) -> bool:
        """Whether the object of that name has the same bytes: it was sent before, and the answer was lost."""
        if self._storage.size(self._name) != self.size:
            return False
        own = direct.buffer(_GATHER)
        with self._storage.stream(self._name, self.size) as stream:
            offset = 0
            for piece in stream.pieces:
                count = direct.read(self._file, own, len(piece), offset)
                if own[:count] != piece:
                    return False
                offset += len(piece)
        return offset == self.size


def _sync(path: os.PathLike[str]) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
