"""The watchdog: brings services back when Propolis itself is killed, or could not put everything back.

A child in a session of its own holds the reading end of a pipe whose other end only Propolis has. Told that the run's
journal is closed, it goes. At end of file without that word it runs the recovery command, again and again with
growing pauses, until the journal is closed, by whomever. Where a run is driven from another host it acts at silence,
too: if no byte came for some time, it kills Propolis first, which may be frozen and must not go on later.
It is a bare interpreter that imports the standard library alone, so it costs little memory beside a backup.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ENDED = b"ended\n"
BEAT = b"."
READY = b"watching\n"
START_SECONDS = 30.0
"""Longest wait for the child to say that it watches."""

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 300.0
LOOK = 2.0
"""Seconds between two looks at the journal while it pauses: somebody else may recover meanwhile."""

BUSY = 11
"""Exit code of a recovery that found another run at work on the stack."""

IN_DOUBT = 13
"""Exit code of a recovery that can't learn from the repository whether its run is kept or undone; services run."""

DOUBT_PAUSE = 60.0
"""Seconds until it asks again, however often it did."""

DEATH_SECONDS = 10.0
"""Longest wait for a killed process to be gone; should it take longer, the recovery finds its lock held."""

_DEATH_LOOK = 0.02

LOG_BYTES = 1 << 20


_NOTE_BYTES = 200

_SILENCE, _PARENT = "--silence=", "--parent="


class WatchdogFailed(OSError):
    """It could not be started."""


class Watchdog:
    """The watching child, as its parent sees it."""

    def __init__(self, recovery: Sequence[str], log: Path, journal: Path, silence: float | None = None) -> None:
        """Start watching this process; `recovery` is the command to run should it die, its output goes to `log`.

        With `silence`, this process is also killed and recovered if `beat` isn't called for so many seconds. Raises
        OSError if nobody watches: then nothing may be stopped.
        """
        listens = [] if silence is None else [f"{_SILENCE}{silence}", f"{_PARENT}{os.getpid()}"]
        self._talking = threading.Lock()
        _start_anew(log)
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *listens, str(journal), *recovery],
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
        assert self._child.stdin is not None
        os.set_blocking(self._child.stdin.fileno(), False)

    def beat(self) -> None:
        """Say that whoever drives this run was heard. Never waits, never raises; may be called from any thread."""
        assert self._child.stdin is not None
        with self._talking:
            if not self._child.stdin.closed:
                with contextlib.suppress(OSError):  # full: it has more to hear than it needs; gone: nobody to tell
                    os.write(self._child.stdin.fileno(), BEAT)

    def dismiss(self) -> None:
        """The journal is closed, nothing is half done: no need to watch any more."""
        assert self._child.stdin is not None
        with self._talking, contextlib.suppress(OSError):
            self._child.stdin.write(ENDED)
            self._child.stdin.flush()
        self.take_over()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(5.0)

    def take_over(self) -> None:
        """Let it go on where this process ends: something of the run is still half done."""
        assert self._child.stdin is not None
        with self._talking, contextlib.suppress(OSError):
            self._child.stdin.close()

    def _is_ready(self) -> bool:
        assert self._child.stdout is not None
        with self._child.stdout as answer, selectors.DefaultSelector() as waiting:
            waiting.register(answer, selectors.EVENT_READ)
            return bool(waiting.select(START_SECONDS)) and os.read(answer.fileno(), len(READY)) == READY


def note_file(journal: Path) -> Path:
    """Where a run's watchdog notes what it does."""
    return journal.with_suffix(".watchdog")


def watch(journal: Path, recovery: Sequence[str], silence: float | None = None, parent: int = 0) -> int:
    """Wait for the parent's end (standard input), with `silence` also for that of its words, which ends it; then run
    `recovery` until the journal is closed. Return an exit code.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        watched = None if silence is None else _process(parent)
    except OSError as error:
        _say(f"the process {parent} can't be watched: {error}")
        return 1
    os.write(1, READY)
    os.dup2(2, 1)
    end = _listen(silence)
    if end == "ended" or _is_over(journal):
        return 0
    if end == "silent":
        _say(f"{journal.stem}: the coordinator was not heard for {silence:g} s: killing the process {parent}")
        _kill(watched, parent)
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
        elif code == IN_DOUBT:
            wait = DOUBT_PAUSE
        else:
            wait, pause = pause, min(pause * 2, LONGEST_PAUSE)
        _say(f"{journal.stem}: attempt {tries} failed with exit code {code}; the next one is in {wait:.0f} s")
        note.write({"tries": tries, "last_exit": code, "next_at": _time(wait)})
        _pause(wait, journal)
    _say(f"{journal.stem} is finished: nothing is left to undo")
    note.remove()
    return 0


def _process(parent: int) -> int | None:
    """A descriptor of the parent, which never means another process; None where the kernel is too old for that.

    Raises OSError if it is gone by now.
    """
    found: int | None = None
    try:
        found = os.pidfd_open(parent)
    except AttributeError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # the latter by a container's filter
            raise
    if os.getppid() != parent:  # its number may be another one's already
        raise ProcessLookupError(errno.ESRCH, "it is not the parent any more")
    return found


def _listen(silence: float | None) -> str:
    """Wait until the parent has `ended` its run, is `gone`, or was `silent`."""
    told = b""
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    while waiting.poll(None if silence is None else silence * 1000):
        chunk = os.read(0, 4096)
        if not chunk:
            return "gone"
        told = (told + chunk)[-len(ENDED) :]
        if told == ENDED:
            return "ended"
    return "silent"


def _kill(watched: int | None, parent: int) -> None:
    """End the parent, even if it is frozen, and wait until it is gone."""
    with contextlib.suppress(OSError):
        if watched is not None:
            signal.pidfd_send_signal(watched, signal.SIGKILL)
        elif os.getppid() == parent:  # so it lives: this process would have another parent by now
            os.kill(parent, signal.SIGKILL)
    end = time.monotonic() + DEATH_SECONDS
    while os.getppid() == parent and time.monotonic() < end:
        time.sleep(_DEATH_LOOK)


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
                os.pwrite(self._fd, json.dumps(note).ljust(_NOTE_BYTES).encode(), 0)  # at once, for those who read

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


def _main(arguments: list[str]) -> int:
    silence, parent = None, 0
    if arguments[0].startswith(_SILENCE):
        silence = float(arguments[0].removeprefix(_SILENCE))
        parent = int(arguments[1].removeprefix(_PARENT))
        arguments = arguments[2:]
    return watch(Path(arguments[0]), arguments[1:], silence, parent)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
