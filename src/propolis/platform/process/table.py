"""Which processes belong to a service, read from `/proc` (formats: proc(5))."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MARKER = "PROPOLIS_SERVICE"
"""Environment variable that every process of a service inherits; its value is the service file's path."""

_PROC = Path("/proc")
_DEAD = frozenset("ZX")


@dataclass(frozen=True)
class Process:
    """One process: its number and when it started tell it from a later one with the same number."""

    pid: int
    started: int
    """Clock ticks since boot."""
    session: int
    alive: bool
    """False for a zombie."""


@dataclass(frozen=True)
class PidRecord:
    """What a pid file holds: the first line is the number alone, so that other tools can read it."""

    pid: int
    started: int
    boot: str

    def text(self) -> str:
        """As written to the file."""
        return f"{self.pid}\n{self.started} {self.boot}\n"


def boot_id() -> str:
    """Identifies this boot: start times only compare within one."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def read_pid_file(path: Path) -> PidRecord | None:
    """The recorded process, or None if there is no usable record of this boot."""
    try:
        first, second = path.read_text(encoding="ascii").splitlines()
        started, boot = second.split()
        record = PidRecord(int(first), int(started), boot)
    except FileNotFoundError:
        return None
    except ValueError:  # not our format: the marker in the environment still finds the service
        return None
    return record if record.boot == boot_id() else None


def find(pid: int) -> Process | None:
    """The process with this number, or None."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything, so count from its last parenthesis.
    fields = text.rpartition(")")[2].split()
    state, session, started = fields[0], int(fields[3]), int(fields[19])
    alive = state not in _DEAD or _has_live_thread(pid)
    return Process(pid, started, session, alive)


def members(record: PidRecord | None, marker: str) -> list[Process]:
    """Every living process of the service: of the recorded session, or carrying the marker."""
    session = _valid_session(record)
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        process = find(int(entry.name))
        if process is None or not process.alive:
            continue
        if (session is not None and process.session == session) or _carries(process.pid, marker):
            found.append(process)
    return found


def _valid_session(record: PidRecord | None) -> int | None:
    """The recorded session's number while it is certain that it is still that session.

    The kernel gives a number to nobody else while a session uses it. So it is another's only if its leader is
    there and started at another time. Without a leader, the marker decides.
    """
    if record is None:
        return None
    leader = find(record.pid)
    return record.pid if leader is not None and leader.started == record.started else None


def _carries(pid: int, marker: str) -> bool:
    """Whether the process inherited the marker; other users' processes can't be looked into."""
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{MARKER}={marker}".encode() in variables


def _has_live_thread(pid: int) -> bool:
    """A zombie main thread may leave others running."""
    try:
        threads = [t.name for t in (_PROC / str(pid) / "task").iterdir() if t.name != str(pid)]
        for thread in threads:
            text = (_PROC / str(pid) / "task" / thread / "stat").read_text(errors="replace")
            if text.rpartition(")")[2].split()[0] not in _DEAD:
                return True
    except (FileNotFoundError, ProcessLookupError):
        return False
    return False
