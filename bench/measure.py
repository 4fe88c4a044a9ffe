"""Runs jobs and records what each took: a JSON line at once, so that an interrupted run loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bench.places import Place
from bench.tools import Job
from propolis.errors import ConfigError
from propolis_lab.errors import LabError

_LAUNCHER = Path(__file__).with_name("launch.py")
_DROP = Path("/proc/sys/vm/drop_caches")
_TICK = os.sysconf("SC_CLK_TCK")


class About(msgspec.Struct, frozen=True, tag="about", tag_field="line"):
    """The first line of a record: what was measured, with what, where."""

    scenario: str
    """`deployment` or `small-files`."""
    started: str
    """UTC."""
    machine: str
    filesystem: str
    data: str
    versions: dict[str, str]
    caches_dropped: bool
    rounds: int


class Measurement(msgspec.Struct, frozen=True, tag="measurement", tag_field="line"):
    """What one operation of one tool took once. Times are seconds, sizes bytes."""

    round: int
    place: str
    operation: str
    tool: str
    seconds: float
    """From the start of the process until all is on disk."""
    unsynced: float
    """Until the process ended."""
    cpu: float
    """Of the process and its children."""
    peak: int
    """Resident memory; of a pipe's processes together."""
    size: int
    """All that the tool has stored, afterwards."""
    server_cpu: float
    """Of the storage's server, if there is one."""
    others_cpu: float
    """Of everything else on this machine meanwhile, the kernel's writing included."""


Line = About | Measurement


class Record:
    """A file of JSON lines that grows measurement by measurement. For a `with` block."""

    def __init__(self, path: Path) -> None:
        """`path` is made, or added to."""
        self.path = path
        self.count = 0
        self._file = path.open("ab")

    def add(self, line: Line) -> None:
        """Append a line; it is on disk when this returns."""
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.count += isinstance(line, Measurement)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_record(path: Path) -> tuple[About, list[Measurement]]:
    """Read a record, also one that was cut short; raises ConfigError when it is none."""
    about: About | None = None
    found: list[Measurement] = []
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    for number, line in enumerate(text.split(b"\n")[:-1], 1):  # what follows the last newline was cut short
        try:
            parsed: Line = msgspec.json.decode(line, type=Line)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{path}, line {number}: {error}") from None
        if isinstance(parsed, About):
            about = parsed
        else:
            found.append(parsed)
    if about is None:
        raise ConfigError(f"{path} is no record of the benchmark: it doesn't begin with what was measured")
    return about, found


@dataclass(frozen=True)
class Taken:
    """What a job took."""

    seconds: float
    unsynced: float
    cpu: float
    peak: int
    server_cpu: float
    others_cpu: float


def run(what: str, job: Job, place: Place, scratch: Path, *, drop_caches: bool) -> Taken:
    """Run a job while everything is on disk and, if wanted, nothing is in the page cache.

    `what` names it in errors; `scratch` is for temporary files and the log. Raises LabError with the end of the log
    if the job fails.
    """
    log = scratch / "log"
    log.unlink(missing_ok=True)
    os.sync()
    if drop_caches:
        _DROP.write_text("3")
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(scratch), "TMPDIR": str(scratch)}
    described = {
        "stages": job.stages,
        "folder": str(job.folder),
        "environment": environment | job.environment,
        "output": None if job.output is None else str(job.output),
        "log": str(log),
    }
    server, busy = place.server_seconds(), _busy_seconds()
    told = _launch(json.dumps(described))
    server, busy = place.server_seconds() - server, _busy_seconds() - busy
    if told.failed:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-12:] if log.exists() else []
        free = shutil.disk_usage(scratch).free / 1e9
        raise LabError(
            f"{what} failed: it ended with {told.failed}, {free:.1f} GB are free, and the last it said is:\n"
            + "\n".join(lines)
        )
    others = max(0.0, busy - server - told.cpu)
    return Taken(told.seconds, told.unsynced, told.cpu, told.peak, server, others)


def can_drop_caches() -> bool:
    """Whether the page cache can be emptied (only by root)."""
    return os.access(_DROP, os.W_OK)


class _Told(msgspec.Struct, frozen=True):
    """The launcher's answer."""

    seconds: float = 0.0
    unsynced: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    failed: int = 0
    """How the job ended, unless it did well."""


def _launch(described: str) -> _Told:
    """Run the launcher; whatever ends this program ends all that was launched, too."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_LAUNCHER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        told, _ = child.communicate(described)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    if not told:
        return _Told(failed=child.returncode)
    return msgspec.json.decode(told, type=_Told)


def _busy_seconds() -> float:
    """Seconds that this machine's processors have been busy so far."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, interrupts, soft, stolen = (int(field) for field in fields[:8])
    return (user + nice + system + interrupts + soft + stolen) / _TICK
