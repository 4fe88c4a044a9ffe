"""The watchdog: brings services back when Propolis itself is killed, or could not put everything back.

A child in a session of its own holds the reading end of a pipe whose other end only Propolis has. Told that the run's
journal is closed, it goes. At end of file without that word it runs the recovery command, again and again with
growing pauses, until the journal is closed, by whomever.
It is a bare interpreter that imports the standard library alone, so it costs little memory beside a backup.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ENDED = b"ended\n"
READY = b"watching\n"
START_SECONDS = 30.0
"""Longest wait for the child to say that it watches."""

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 300.0
LOOK = 2.0
"""Seconds between two looks at the journal while it pauses: somebody else may recover meanwhile."""

BUSY = 11
"""Exit code of a recovery that found another run at work on the stack."""

LOG_BYTES = 1 << 20


class WatchdogFailed(OSError):
    """It could not be started."""


class Watchdog:
    """The watching child, as its parent sees it."""

    def __init__(self, recovery: Sequence[str], log: Path, journal: Path) -> None:
        """Start watching this process; `recovery` is the command to run should it die, its output goes to `log`.

        Raises OSError if nobody watches: then nothing may be stopped.
        """
        _start_anew(log)
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(journal), *recovery],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=fd,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(fd)
        if not self._is_ready():
            self._child.kill()
            self._child.wait()
            raise WatchdogFailed(f"it ended at once or does not answer, see {log}")

    def dismiss(self) -> None:
        """The journal is closed, nothing is half done: no need to watch any more."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.write(ENDED)
            self._child.stdin.flush()
        self.take_over()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(5.0)

    def take_over(self) -> None:
        """Let it go on where this process ends: something of the run is still half done."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()

    def _is_ready(self) -> bool:
        assert self._child.stdout is not None
        with self._child.stdout as answer, selectors.DefaultSelector() as waiting:
            waiting.register(answer, selectors.EVENT_READ)
            return bool(waiting.select(START_SECONDS)) and os.read(answer.fileno(), len(READY)) == READY


def note_file(journal: Path) -> Path:
    """Where a run's watchdog notes what it does."""
    return journal.with_suffix(".watchdog")


def watch(journal: Path, recovery: Sequence[str]) -> int:
    """Wait for the parent's end (standard input); run `recovery` until the journal is closed. Return an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(1, READY)
    os.dup2(2, 1)
    told = b""
    while chunk := os.read(0, 64):
        told += chunk
    if told == ENDED:
        return 0
    note = _Note(note_file(journal))
    tries, pause = 0, FIRST_PAUSE
    _say(f"{journal.stem} is unfinished and its process is gone: recovering it")
    while not _is_over(journal):
        code = _run(recovery)
        tries += 1
        if _is_over(journal):
            break
        if code == BUSY:
            wait = FIRST_PAUSE
        else:
            wait, pause = pause, min(pause * 2, LONGEST_PAUSE)
        _say(f"{journal.stem}: attempt {tries} failed with exit code {code}; the next one is in {wait:.0f} s")
        note.write({"tries": tries, "last_exit": code, "next_at": _time(wait)})
        _pause(wait, journal)
    _say(f"{journal.stem} is finished: nothing is left to undo")
    note.remove()
    return 0


class _Note:
    """Tells `propolis status`. Only a help: no failure of it counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.write({"tries": 0, "last_exit": 0, "next_at": _time(0)})

    def write(self, note: dict[str, object]) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, json.dumps(note).encode(), 0)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()


def _run(recovery: Sequence[str]) -> int:
    try:
        return subprocess.run(recovery, stdin=subprocess.DEVNULL, check=False).returncode
    except OSError as error:  # the machine is out of processes, or Propolis is just being installed anew
        _say(f"the recovery can't be run: {error}")
        return 1


def _is_over(journal: Path) -> bool:
    """Whether the journal's last whole line says so. One that isn't there never began, or was forgotten since."""
    try:
        lines = journal.read_bytes().split(b"\n")[:-1]
        return not lines or json.loads(lines[-1]).get("event") == "end"
    except FileNotFoundError:
        return True
    except (OSError, ValueError, AttributeError):
        return False


def _pause(seconds: float, journal: Path) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not _is_over(journal):
        time.sleep(min(left, LOOK))


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{_time(0)} {text}\n".encode("utf-8", "backslashreplace"))


def _time(ahead: float) -> str:
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)).isoformat(timespec="seconds")


def _start_anew(log: Path) -> None:
    """Keep one former log of the size that is enough to read."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(log.name + ".1"))


if __name__ == "__main__":
    sys.exit(watch(Path(sys.argv[1]), sys.argv[2:]))
