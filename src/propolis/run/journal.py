"""The journal: the durable record of how far a run got.

One file a run, JSON lines, appended and synced to disk one by one. A torn last line is what a crash leaves; it is
ignored, since a step is only begun once its line is on disk. `propolis.run.journals` reads them back.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from propolis import __version__
from propolis.durable import sync_folder
from propolis.errors import PropolisError

FORMAT = 1
"""What this version writes and the newest that it reads. A journal without a number is older, and reads the same."""


class Record(msgspec.Struct, omit_defaults=True):
    """One line of a journal."""

    event: Literal["begin", "promise", "before", "after", "undone", "failed", "end"]
    at: str
    format: int | None = None
    propolis: str | None = None
    step: int | None = None
    command: str | None = None
    pid: int | None = None
    steps: list[dict[str, Any]] | None = None
    commit: int | None = None
    prepare: int | None = None
    facts: dict[str, Any] | None = None
    promise: dict[str, Any] | None = None
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
    propolis: str | None = None
    begun: list[int] = []
    done: dict[int, dict[str, Any]] = {}
    undone: set[int] = set()
    failure: str | None = None
    outcome: str | None = None
    ended: str | None = None
    prepare: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the run neither ended nor was recovered."""
        return self.outcome is None

    @property
    def is_committed(self) -> bool:
        """Whether the run passed its commit point: it is to be finished, not undone."""
        return self.commit is not None and self.commit in self.done

    @property
    def is_prepared(self) -> bool:
        """Whether only the verdict of all hosts tells if the run is to be finished or undone."""
        prepared = self.prepare is not None and self.prepare in self.done and self.prepare not in self.undone
        return prepared and not self.is_committed


class Journal:
    """Writes one run's journal.

    What must be on disk before a step may begin or counts as done raises PropolisError if it can't be written. What
    is recorded while things are put back never raises: a full disk must not keep anything from being undone.
    """

    def __init__(self, path: Path, fd: int | None) -> None:
        self.path = path
        self.closed = False
        """Whether the run's end is recorded: nothing of it is half done any more."""
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
        prepare: int | None = None,
    ) -> Journal:
        """Begin a run: `steps` as builtins, `commit` the commit step's number, `prepare` that of the one
        behind which a verdict decides, `facts` what recovery needs.
        """
        path = journal_file(folder, run_id)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PropolisError(
                f"The journal {path} can't be created: {error.strerror}",
                left="Nothing was changed",
                next="Set `state` in propolis.yaml to a folder that Propolis can write to",
            ) from error
        journal = cls(path, fd)
        journal._append(
            Record(
                "begin",
                now(),
                format=FORMAT,
                propolis=__version__,
                command=command,
                pid=os.getpid(),
                steps=steps,
                commit=commit,
                prepare=prepare,
                facts=dict(facts),
            )
        )
        sync_folder(folder)
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """Go on writing a journal that a dead process left; a torn last line is cut off first.

        Where it can't be written (a read-only filesystem), what is recorded is lost, and `close` says so.
        """
        try:
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole != len(content):
                os.truncate(path, whole)
            return cls(path, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        except OSError:
            return cls(path, None)

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.path.stem

    def promise(self, promise: Mapping[str, Any]) -> None:
        """Record what the run owes from now on."""
        self._append(Record("promise", now(), promise=dict(promise)))

    def before(self, step: int) -> None:
        """Record that a step is about to begin."""
        self._append(Record("before", now(), step=step))

    def after(self, step: int, result: Mapping[str, Any] | None) -> None:
        """Record that it ended well."""
        self._append(Record("after", now(), step=step, result=dict(result) if result else None))

    def failed(self, error: BaseException) -> None:
        """Record why the run failed: best effort."""
        with contextlib.suppress(Exception):
            self._append(Record("failed", now(), message=describe(error)))

    def undone(self, step: int) -> None:
        """Record that a step was undone: best effort, since undo is idempotent."""
        with contextlib.suppress(Exception):
            self._append(Record("undone", now(), step=step))

    def close(self, outcome: str) -> bool:
        """Record that nothing of the run is half done any more; say whether that could be written.

        If not, the journal stays open, and recovery finds that nothing is left to do.
        """
        with contextlib.suppress(Exception):
            self._append(Record("end", now(), outcome=outcome))
            self.closed = True
        self.leave_open()
        return self.closed

    def leave_open(self) -> None:
        """Stop writing without closing the run: recovery has work to do."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):  # a network filesystem tells of its full disk only now
                os.close(fd)

    def _append(self, record: Record) -> None:
        try:
            line = msgspec.json.encode(record) + b"\n"
        except UnicodeEncodeError:  # names of files needn't be text
            line = msgspec.json.encode(readable(msgspec.to_builtins(record))) + b"\n"
        try:
            if self._fd is None:
                raise OSError(30, "Read-only file system")
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
        except OSError as error:
            raise PropolisError(
                f"The journal {self.path} can't be written: {error.strerror}",
                next="Free some space in its folder, or set `state` in propolis.yaml to another folder",
            ) from error


def journal_folder(state: Path) -> Path:
    """Where the journals of a stack's runs are, in its state folder."""
    return state / "journal"


def journal_file(folder: Path, run_id: str) -> Path:
    """Where a run's journal is."""
    return folder / f"{run_id}.jsonl"


def describe(error: BaseException) -> str:
    """One line for a journal, of any error, also of one that can't say what it is."""
    try:
        text = str(error) if isinstance(error, PropolisError) else f"{type(error).__name__}: {error}"
        return " ".join(readable(text).split())
    except Exception:
        return type(error).__name__


def readable(value: Any) -> Any:
    """Replace what isn't text in JSON values: a file's name needn't be."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {readable(key): readable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [readable(part) for part in value]
    return value


def new_run_id() -> str:
    """Make a run's name: UTC time and a random end, so that names sort by time and never clash."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def is_run_id(text: str) -> bool:
    """Whether it is a name that `new_run_id` may have made: it is part of the names of files."""
    return re.fullmatch(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}", text) is not None


def now() -> str:
    """UTC time in ISO 8601 with milliseconds: its sign and zone are never lost."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
