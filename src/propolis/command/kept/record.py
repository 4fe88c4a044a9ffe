"""The record of what one run replaced and keeps: written whole or not at all, read back, forgotten."""

from __future__ import annotations

import datetime
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from propolis import durable
from propolis.config.schema import Config
from propolis.errors import PreflightError, PropolisError, UsageError
from propolis.run.journal import journal_folder
from propolis.run.journals import kept_files

_LIMIT = 4 << 20
"""Bytes of a record: it has some hundred for each folder."""

LATEST = "latest"


class Former(msgspec.Struct, frozen=True):
    """Owner, mode and attributes of a folder before it was replaced."""

    uid: int
    gid: int
    mode: int
    attributes: tuple[tuple[bytes, bytes], ...] | None = None
    """Names and values; None in journals that tell of none."""


class KeptFolder(msgspec.Struct, frozen=True):
    """What one folder held before it was replaced. `former` None: the folder wasn't there, so it held nothing."""

    target: str
    folder: str
    """Where it is kept."""
    marker: str
    """Name of the file in there that says that all was moved there; no content of the folder."""
    former: Former | None
    files: int
    bytes: int
    """What it occupied when it was replaced."""


class KeptObjects(msgspec.Struct, frozen=True):
    """What a bucket held before: objects that were replaced or removed, copied aside within the bucket."""

    tree: str
    place: str
    """Bucket, prefix and endpoint, for people."""
    aside: str
    """The prefix, within the tree's own, under which they are kept."""
    note: str
    """The file that names each of them, and those that were added."""
    objects: int
    bytes: int


class Kept(msgspec.Struct, frozen=True):
    """All that one run replaced and keeps."""

    run: str
    command: str
    backup: str
    """The backup that was restored, by its ID; for an undo, what it undid."""
    at: str
    """When it was replaced, and until when it is kept (UTC, ISO 8601)."""
    until: str
    days: int
    folders: tuple[KeptFolder, ...] = ()
    objects: tuple[KeptObjects, ...] = ()
    without: tuple[str, ...] = ()
    """Optional sections of propolis.yaml whose services the run left alone: to it, the stack had none of them."""
    overtaken: str = ""
    """A later run that replaced something else, too: what is kept here no longer fits what is there."""
    dropping: bool = False
    """It is being removed, so it isn't whole any more."""

    @property
    def files(self) -> int:
        """Files and objects."""
        return sum(folder.files for folder in self.folders) + sum(one.objects for one in self.objects)

    @property
    def bytes(self) -> int:
        """What all of it occupies."""
        return sum(folder.bytes for folder in self.folders) + sum(one.bytes for one in self.objects)

    @property
    def targets(self) -> frozenset[str]:
        """What was replaced: folders by path, buckets by their tree."""
        return frozenset({folder.target for folder in self.folders} | {one.tree for one in self.objects})

    def stack(self, config: Config) -> Config:
        """The stack as the run knew it."""
        return config.model_copy(update=dict.fromkeys(self.without))

    def is_due(self, now: datetime.datetime) -> bool:
        """Whether its time is over, or its removal has begun."""
        return self.dropping or datetime.datetime.fromisoformat(self.until) <= now


@dataclass(frozen=True)
class Records:
    """Every record of a stack, oldest first, and why others can't be read."""

    kept: tuple[Kept, ...]
    unreadable: tuple[str, ...]


def records(state: Path) -> Records:
    """Read all records. Raises PreflightError if the folder that they are in can't be read."""
    found: list[Kept] = []
    unreadable: list[str] = []
    for path in kept_files(journal_folder(state)):
        try:
            with path.open("rb") as file:
                kept = msgspec.json.decode(file.read(_LIMIT), type=Kept)
            if kept.run != path.stem:
                raise msgspec.ValidationError(f"it belongs to the run {kept.run!r}")
            for text in (kept.at, kept.until):
                if datetime.datetime.fromisoformat(text).tzinfo is None:
                    raise msgspec.ValidationError(f"{text} has no time zone")
        except FileNotFoundError:
            continue
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            unreadable.append(f"The record {path} of kept data can't be read: {reason}")
            continue
        found.append(kept)
    return Records(tuple(found), tuple(unreadable))


def find(state: Path, run: str) -> Kept:
    """The record of a run: its ID, the beginning of it, or `latest`. Raises PreflightError or UsageError."""
    known = records(state)
    fitting = [kept for kept in known.kept if run == LATEST or kept.run.startswith(run)]
    if run == LATEST:
        fitting = fitting[-1:]
    if not fitting:
        unread = f" ({'; '.join(known.unreadable)})" if known.unreadable else ""
        kept = f"Kept are those of {', '.join(one.run for one in known.kept)}. " if known.kept else ""
        raise PreflightError(
            f"No former data is kept of {'any restore' if run == LATEST else f'a run {run}'}{unread}",
            left="Nothing was changed",
            next=f"{kept}`propolis restore --keep-old` keeps what it replaces; otherwise restore a backup",
        )
    if len(fitting) > 1:
        raise UsageError(
            f"{run!r} matches {len(fitting)} runs: {', '.join(kept.run for kept in fitting)}",
            left="Nothing was changed",
            next="Give a longer prefix",
        )
    return fitting[0]


def record(state: Path, kept: Kept) -> None:
    """Write or replace the record of a run, durably: it is there whole or not at all. Raises PropolisError."""
    path = record_file(state, kept.run)
    try:
        durable.write(path, msgspec.json.encode(kept) + b"\n")
    except OSError as error:
        raise PropolisError(
            f"{path}, which records what is kept, can't be written: {error.strerror}",
            left="The former data is where it was moved",
            next="Free some space in its folder, then run `propolis recover`",
        ) from None


def forget(state: Path, run: str) -> None:
    """Remove the record of a run; idempotent."""
    path = record_file(state, run)
    path.unlink(missing_ok=True)
    durable.sync_folder(path.parent)


def record_file(state: Path, run: str) -> Path:
    """Where the record of a run lies."""
    return journal_folder(state) / f"{run}.kept"


def overtake(state: Path, run: str, targets: Collection[str]) -> None:
    """Say in older records that this run replaced something which they don't keep.

    Moving only what they keep back would then give a stack whose stores are of two different times. Idempotent.
    """
    for kept in records(state).kept:
        if kept.run != run and not kept.overtaken and not kept.targets.issuperset(targets):
            record(state, msgspec.structs.replace(kept, overtaken=run))


def lacking(kept: Kept) -> tuple[str, ...]:
    """Say of each folder that is no longer there as it was kept: renamed, removed, or another one in its place."""
    found = []
    for one in kept.folders:
        folder = Path(one.folder)
        if folder.is_symlink() or not folder.is_dir():
            found.append(f"{folder} is gone: it was renamed or removed")
        elif not os.path.lexists(folder / one.marker):
            found.append(f"{folder} is not what was kept: it lacks the file {one.marker}")
    found += [
        f"{one.note} is gone: it was renamed or removed" for one in kept.objects if not Path(one.note).is_file()
    ]
    return tuple(found)


def aside_prefixes(kept: Iterable[Kept], tree: str) -> tuple[str, ...]:
    """Under which keys of a tree's bucket something is kept, which is no attachment of the stack."""
    return tuple(one.aside for record in kept for one in record.objects if one.tree == tree)
