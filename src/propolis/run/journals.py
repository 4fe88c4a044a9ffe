"""Reading journals back: this version's, an older one's, and as much as can be told of one that can't be read."""

from __future__ import annotations

import fcntl
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from propolis.errors import IncompleteError, PreflightError
from propolis.run.journal import FORMAT, JournalState, Record
from propolis.run.watchdog import note_file

KEPT_JOURNALS = 50

OURS = ".propolis-"
"""How every name begins that a run gives to a folder or file in or beside a store."""


class UnreadableJournal(IncompleteError):
    """A run that isn't over, by a journal that this version can't read; `lines` are those that are JSON objects."""

    def __init__(self, path: Path, why: str, lines: list[dict[str, Any]]) -> None:
        version = lines[0].get("propolis") if lines else None
        super().__init__(
            f"The journal {path} can't be read: {why}",
            left="What its run left unfinished was not changed",
            next=f"Run `propolis recover` with version {version}, which wrote it"
            if isinstance(version, str)
            else "Check that TheHive, its database and its index are running and have their data; then move this "
            "file away",
        )
        self.path = path
        self.lines = lines


@dataclass(frozen=True)
class OpenRuns:
    """The runs that neither ended nor were recovered, oldest first, and those that can't be determined from one."""

    states: tuple[JournalState, ...]
    unreadable: tuple[UnreadableJournal, ...]


class Watch(msgspec.Struct, frozen=True):
    """What a watchdog that tries on says of itself."""

    tries: int
    last_exit: int
    next_at: str


def read_journal(path: Path) -> JournalState | None:
    """Read a journal; None when its run was killed before its first line was whole: nothing was begun.

    Raises UnreadableJournal when a line other than the last is damaged, or a newer version wrote it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableJournal(path, error.strerror or "no reason given", []) from error
    state: JournalState | None = None
    lines = content.split(b"\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            record = msgspec.json.decode(line, type=Record)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unreadable(path, f"line {number}: {error}", lines) from error
        if record.event == "begin":
            if (record.format or 0) > FORMAT:
                raise _unreadable(
                    path, f"it has format {record.format}; this version reads formats up to {FORMAT}", lines
                )
            state = JournalState(
                path=path,
                run_id=path.stem,
                command=record.command or "",
                started=record.at,
                pid=record.pid or 0,
                steps=record.steps or [],
                commit=record.commit,
                prepare=record.prepare,
                facts=record.facts or {},
                propolis=record.propolis,
            )
        elif state is not None:
            if record.step is not None and not 0 <= record.step < len(state.steps):
                raise _unreadable(path, f"line {number}: the run has no step {record.step}", lines)
            _apply(state, record)
        else:
            raise _unreadable(path, f"line {number}: the first line is missing", lines)
    return state


def journals(folder: Path) -> list[Path]:
    """All journals in `folder`, oldest first. Raises PreflightError if it can't be read."""
    return _files(folder, ".jsonl")


def open_runs(folder: Path) -> OpenRuns:
    """Find the runs that aren't over. One journal that can't be read hides no other."""
    states: list[JournalState] = []
    unreadable: list[UnreadableJournal] = []
    for path in journals(folder):
        try:
            state = read_journal(path)
        except UnreadableJournal as error:
            if not _is_over(error.lines):
                unreadable.append(error)
            continue
        if state is not None and state.is_open:
            states.append(state)
    return OpenRuns(tuple(states), tuple(unreadable))


def parsed_lines(path: Path) -> list[dict[str, Any]]:
    """Those lines of a journal, of whatever version, that are JSON objects. Raises nothing but OSError."""
    return _parsed(path.read_bytes().split(b"\n"))


def recorded_places(folder: Path) -> set[Path]:
    """Every path, named as ours, that a journal in `folder` records: what runs of this stack made, or were about to.

    They are found wherever they stand in a journal's first line, so in those of other versions, too. Raises
    PreflightError if one can't be read: then nobody can say what is ours.
    """
    found: set[Path] = set()
    for path in (*journals(folder), *trials(folder), *kept_files(folder)):
        found |= places_of(path)
    return found


def trials(folder: Path) -> list[Path]:
    """Records of trials outside of runs (`propolis.checks.trials`)."""
    return _files(folder, ".trial")


def kept_files(folder: Path) -> list[Path]:
    """Records of what restores replaced and keep (`propolis.command.kept`), oldest first."""
    return _files(folder, ".kept")


def places_of(path: Path) -> frozenset[Path]:
    """The paths, named as ours, that one journal records. Raises PreflightError if it can't be read."""
    try:
        status = path.stat()
        return _places(path, status.st_ino, status.st_size, status.st_mtime_ns)
    except (FileNotFoundError, IsADirectoryError):  # a trial that is over by now; no journal, which names nothing
        return frozenset()
    except OSError as error:
        raise _closed(path, error) from error


@functools.lru_cache(maxsize=1024)
def _places(path: Path, *state: int) -> frozenset[Path]:
    """The same of a file in one state: a backup asks of every folder, also while services are down."""
    with path.open("rb") as file:
        first = _parsed([file.readline()])
    return frozenset(
        Path(text) for text in _texts(first) if text.startswith("/") and Path(text).name.startswith(OURS)
    )


def forget_old(folder: Path) -> None:
    """Remove all but the newest journals; not those that are needed, can't be read, or name what is still there."""
    for path in journals(folder)[:-KEPT_JOURNALS]:
        try:
            state = read_journal(path)
        except UnreadableJournal:
            continue
        if (state is None or not state.is_open) and not any(_is_there(place) for place in places_of(path)):
            path.unlink(missing_ok=True)
            note_file(path).unlink(missing_ok=True)


def watches(journal: Path) -> Watch | None:
    """What the watchdog of a run says that tries to put it right; None if none does."""
    try:
        with note_file(journal).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # held by the watchdog as long as it lives
                return msgspec.json.decode(file.read(), type=Watch)
    except (OSError, msgspec.DecodeError):
        return None
    return None


def _files(folder: Path, ending: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(ending))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _closed(folder, error) from error


def _closed(path: Path, error: OSError) -> PreflightError:
    return PreflightError(
        f"Propolis can't tell what earlier runs left behind: {path} can't be read: {error.strerror}",
        left="Nothing was changed",
        next="Run Propolis as root",
    )


def _is_there(place: Path) -> bool:
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


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
        state.outcome, state.ended = record.outcome or "ended", record.at


def _unreadable(path: Path, why: str, lines: list[bytes]) -> UnreadableJournal:
    return UnreadableJournal(path, why, _parsed(lines))


def _parsed(lines: list[bytes]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _is_over(lines: list[dict[str, Any]]) -> bool:
    """Every version ends a journal with a line of this event, and writes nothing after it."""
    return bool(lines) and lines[-1].get("event") == "end"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
