"""Small files that are there whole or not at all, whatever happens, and survive a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a filesystem without hard links answers to one, e.g. that of a USB stick."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def write_new(path: Path, content: str | bytes) -> None:
    """Write a new file of mode 0600, durably; a failure leaves nothing of it behind.

    Raises FileExistsError, with what is there untouched, and other OSErrors.
    """
    with _written(path, content) as part:
        _name(part, path)
    with _undone(path):
        sync_folder(path.parent)


def write(path: Path, content: str | bytes) -> None:
    """Write a file of mode 0600, durably, in place of what is there; a failure leaves that as it was.

    Raises OSError.
    """
    with _written(path, content) as part:
        part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new, renamed and removed entries of a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _written(path: Path, content: str | bytes) -> Iterator[Path]:
    """The content in a file beside `path`, which is gone afterwards unless it was renamed."""
    part = path.with_name(f".new-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(part, _NEW, 0o600), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        yield part
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _name(part: Path, path: Path) -> None:
    """Give what was written its name, unless something has that."""
    try:
        path.hardlink_to(part)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, _NEW, 0o600))
        with _undone(path):
            part.replace(path)


@contextlib.contextmanager
def _undone(path: Path) -> Iterator[None]:
    """Remove the file, which is ours, if what is done within fails."""
    try:
        yield
    except BaseException:
        path.unlink()
        raise
