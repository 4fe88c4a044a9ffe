"""The journal: the durable record of how far a run got.

One file a run, JSON lines, appended and synced to disk one by one. A torn last line is what a crash leaves; it is
ignored, since a step is only begun once its line is on disk.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from propolis.errors import PropolisError

KEPT_JOURNALS = 50


class Record(msgspec.Struct, omit_defaults=True):
    """One line of a journal."""

    event: Literal["begin", "before", "after", "undone", "failed", "end"]
    at: str
    step: int | None = None
    command: str | None = None
    pid: int | None = None
    steps: list[dict[str, Any]] | None = None
    commit: int | None = None
    facts: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    message: str | None = None
    outcome: str | None = None


class JournalState(msgspec.Struct):
    """What a journal says of its run."""

    path: Path
    run_id: str
    command: str
    started: str
    pid: int
    steps: list[dict[str, Any]]
    commit: int | None
    facts: dict[str, Any]
    begun: list[int] = []
    done: dict[int, dict[str, Any]] = {}
    undone: set[int] = set()
    failure: str | None = None
    outcome: str | None = None
    ended: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the run neither ended nor was recovered."""
        return self.outcome is None

    @property
    def is_committed(self) -> bool:
        """Whether the run passed its commit point: it is to be finished, not undone."""
        return self.commit is not None and self.commit in self.done


class Journal:
    """Writes one run's journal."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        run_id: str,
        command: str,
        steps: list[dict[str, Any]],
        commit: int | None,
        facts: Mapping[str, Any],
    ) -> Journal:
        """Begin a run: `steps` as builtins, `commit` the commit step's number, `facts` what recovery needs."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{run_id}.jsonl"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        journal = cls(path, fd)
        journal._append(
            Record(
                "begin",
                now(),
                command=command,
                pid=os.getpid(),
                steps=steps,
                commit=commit,
                facts=dict(facts),
            )
        )
        sync_folder(folder)
        _forget_old(folder)
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """Go on writing a journal that a dead process left; a torn last line is cut off first."""
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.truncate(path, whole)
        return cls(path, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.path.stem

    def before(self, step: int) -> None:
        """Record that a step is about to begin."""
        self._append(Record("before", now(), step=step))

    def after(self, step: int, result: Mapping[str, Any] | None) -> None:
        """Record that it ended well."""
        self._append(Record("after", now(), step=step, result=dict(result) if result else None))

    def failed(self, message: str) -> None:
        """Record why the run is being undone. A full disk must not keep it from being undone: best effort."""
        with contextlib.suppress(OSError):
            self._append(Record("failed", now(), message=message))

    def undone(self, step: int) -> None:
        """Record that a step was undone: best effort, since undo is idempotent."""
        with contextlib.suppress(OSError):
            self._append(Record("undone", now(), step=step))

    def end(self, outcome: str) -> None:
        """Close the run: nothing of it is half done any more."""
        self._append(Record("end", now(), outcome=outcome))
        os.close(self._fd)

    def leave_open(self) -> None:
        """Stop writing without closing the run: recovery has work to do."""
        os.close(self._fd)

    def _append(self, record: Record) -> None:
        line = msgspec.json.encode(record) + b"\n"
        start = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(28, "No space left on device")
            os.fdatasync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, start)
            raise


def read_journal(path: Path) -> JournalState | None:
    """Read a journal; None when its run was killed before its first line was whole: nothing was begun.

    Raises PropolisError when a line other than the last is damaged.
    """
    lines = path.read_bytes().split(b"\n")
    state: JournalState | None = None
    for number, line in enumerate(lines[:-1], 1):
        try:
            record = msgspec.json.decode(line, type=Record)
        except msgspec.DecodeError as error:
            raise PropolisError(
                f"The journal is damaged: {path}, line {number}: {error}",
                left="The services were left as they are",
                next="Check that TheHive, its database and its index run; then move this file away",
            ) from error
        if record.event == "begin":
            state = JournalState(
                path=path,
                run_id=path.stem,
                command=record.command or "",
                started=record.at,
                pid=record.pid or 0,
                steps=record.steps or [],
                commit=record.commit,
                facts=record.facts or {},
            )
        elif state is not None:
            _apply(state, record)
    return state


def journals(folder: Path) -> list[Path]:
    """All journals in `folder`, oldest first."""
    return sorted(folder.glob("*.jsonl")) if folder.is_dir() else []


def open_journals(folder: Path) -> list[JournalState]:
    """The runs that neither ended nor were recovered, oldest first."""
    states = (read_journal(path) for path in journals(folder))
    return [state for state in states if state is not None and state.is_open]


def new_run_id() -> str:
    """Make a run's name: UTC time and a random end, so that names sort by time and never clash."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def now() -> str:
    """UTC time in ISO 8601 with milliseconds: its sign and zone are never lost."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def sync_folder(folder: Path) -> None:
    """Make a new or renamed entry of `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _apply(state: JournalState, record: Record) -> None:
    step = record.step
    if record.event == "before" and step is not None:
        state.begun.append(step)
    elif record.event == "after" and step is not None:
        state.done[step] = record.result or {}
    elif record.event == "undone" and step is not None:
        state.undone.add(step)
    elif record.event == "failed":
        state.failure = record.message
    elif record.event == "end":
        state.outcome, state.ended = record.outcome, record.at


def _forget_old(folder: Path) -> None:
    for path in journals(folder)[:-KEPT_JOURNALS]:
        state = read_journal(path)
        if state is None or not state.is_open:
            path.unlink(missing_ok=True)
