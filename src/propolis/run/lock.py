"""One run at a time on one stack."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType

from propolis.errors import BusyError, PreflightError


class StackLock:
    """An exclusive `flock` on `<state>/lock`: it ends with its process, so it can never go stale."""

    def __init__(self, state: Path) -> None:
        self._path = state / "lock"
        self._fd: int | None = None

    def __enter__(self) -> StackLock:
        """Take the lock; raise BusyError, naming the holder, when another run has it."""
        fd = open_lock_file(self._path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 200).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise BusyError(
                f"Another Propolis command is running on this stack (process {holder}, lock {self._path})",
                left="Nothing was changed",
                next="Wait for it to end; `propolis status` shows how far it has got",
            ) from None
        with contextlib.suppress(OSError):  # a full disk must not keep anything from being put right
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def held(state: Path) -> bool:
    """Say whether some run holds the stack's lock now; raise PreflightError when that can't be seen."""
    try:
        fd = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(state / "lock", error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def open_lock_file(path: Path) -> int:
    """Open (and make) the lock file; raise PreflightError when the state folder can't be used.

    Where it has become read-only, a lock file that is there is enough to lock: services can still be brought back.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.EROFS:
            with contextlib.suppress(OSError):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> PreflightError:
    return PreflightError(
        f"The state folder can't be used: {path}: {error.strerror}",
        left="Nothing was changed",
        next="Run Propolis as root, or set `state` in propolis.yaml to a folder of your own",
    )
