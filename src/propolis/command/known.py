"""The repository that this host knows: one that was exchanged or set back is noticed before anything goes into it.

Whoever may write where a repository is could put a new one there, made for the same public keys, and so get at what
is backed up from then on. The host therefore remembers, for each place, a fingerprint of the repository's key, the
highest key ring it has seen, and the newest backup it recorded.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from propolis import durable
from propolis.clock import utc_now, utc_text
from propolis.config.schema import Config
from propolis.errors import IntegrityError, PropolisError
from propolis.repository import BackupId, Repository

_FILE = "known-repositories.json"
_LIMIT = 1 << 20


class Known(msgspec.Struct, frozen=True):
    """What is remembered of one repository."""

    id: str
    fingerprint: str
    """Made from the repository's key; tells nothing of it."""
    ring: int
    """Sequence of the newest key ring seen."""
    newest: str = ""
    """ID of the newest backup that this host recorded there."""
    recorded: str = ""
    """When it did: UTC, as `2026-11-23T22:45:00Z`."""


def check_known(config: Config, repository: Repository, *, past: bool = False) -> None:
    """Raise `IntegrityError` unless this is the repository remembered for its place, no older than it was.

    `past`: it was opened as it was at an earlier time, so it may well be older.
    """
    file = config.state / _FILE
    known = _read(file).get(_place(config))
    if known is None or not repository.has_key:
        return
    now, place = _of(repository), repository.storage.place
    if (now.id, now.fingerprint) != (known.id, known.fingerprint):
        raise IntegrityError(
            f"The repository at {place} is not the one this host backs up to: it has been replaced",
            left="Nothing was written to it",
            next=f"Find out who did it. If it was you, remove {file}",
        )
    if now.ring < known.ring and not past:
        raise IntegrityError(
            f"The repository at {place} has been rolled back: its key ring is number {now.ring}; this host has "
            f"already seen number {known.ring}",
            left="Nothing was written to it",
            next=f"Find out who did it: keys that were removed would be valid again. If it was you, remove {file}",
        )


def remembered(config: Config, repository: Repository) -> dict[BackupId, str]:
    """The backup that must be in the repository since this host recorded it, and how that is told. Mostly one.

    Raises `PropolisError` when what is remembered can't be read.
    """
    known = _read(config.state / _FILE).get(_place(config))
    if known is None or not known.newest or known.id != repository.info.id:
        return {}
    return {BackupId(known.newest): f"this host recorded it at {known.recorded}"}


def remember(config: Config, repository: Repository, newest: BackupId | None = None) -> None:
    """Remember the repository for its place, and the `newest` backup that this host has just recorded there.

    Durable when this returns. Raises `PropolisError`.
    """
    file = config.state / _FILE
    known, now, place = _read(file), _of(repository), _place(config)
    before = known.get(place)
    if newest is not None:
        now = msgspec.structs.replace(now, newest=newest, recorded=utc_text(utc_now()))
    elif before is not None and before.id == now.id:
        now = msgspec.structs.replace(now, newest=before.newest, recorded=before.recorded)
    if before == now:
        return
    try:
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.write(file, msgspec.json.encode(known | {place: now}))
    except OSError as error:
        raise PropolisError(
            f"{file} can't be written: {error.strerror}",
            next="Set `state` in propolis.yaml to a folder that Propolis can write to",
        ) from None


def _read(file: Path) -> dict[str, Known]:
    try:
        with file.open("rb") as opened:
            return msgspec.json.decode(opened.read(_LIMIT), type=dict[str, Known])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise PropolisError(f"{file} can't be read: {error}", next="Correct or remove it") from None


def _of(repository: Repository) -> Known:
    return Known(repository.info.id, repository.key.mac(b"known\n"), repository.ring.sequence)


def _place(config: Config) -> str:
    endpoint = config.repository.endpoint
    return f"{config.repository.url} at {endpoint}" if endpoint else config.repository.url
