"""Holds and verifications: small objects that say something of a backup.

`holds/<backup>-<hash>` and `verified/<backup>-<hash>` are texts without lines, encrypted and proven as manifests
are; the header says it all. Nothing is rewritten: a later one counts for more.
"""

from __future__ import annotations

import dataclasses
import datetime
import getpass
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from propolis.clock import utc_now, utc_text
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access.leases import GRACE
from propolis.repository.catalog.chronicle import TOLERANCE
from propolis.repository.crypto.age import WrongKeyError
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId
from propolis.repository.format.names import FORMAT, SMALL_LIMIT, check_name, hash_name
from propolis.repository.format.text import TextWriter, read_header, read_lines
from propolis.repository.model import BackupSummary, Hold, Verification, VerifyResult
from propolis.repository.repository import Repository
from propolis.repository.storage.base import MissingObjectError, Stored
from propolis.structs import read_in_threads

_HOLDS = "holds"
_VERIFIED = "verified"
_NAME = re.compile(r"(?:holds|verified)/(\d{8}T\d{6}Z-[0-9a-f]{8})-[0-9a-f]{64}")
_KINDS = {_HOLDS: "hold", _VERIFIED: "verification"}
Mark = TypeVar("Mark", Hold, Verification)


@read_in_threads
class _Kind(msgspec.Struct, frozen=True):
    format: int
    kind: str


@dataclass
class Marks:
    """All marks of a repository, by backup."""

    holds: dict[str, dict[str, Hold]] = field(default_factory=dict)
    """backup → object's name → hold"""
    verifications: dict[str, dict[str, Verification]] = field(default_factory=dict)
    damaged: dict[str, list[Finding]] = field(default_factory=dict)
    """backup → marks that can't be read: nobody knows what they said"""
    outdated: list[str] = field(default_factory=list)
    """Verifications that can't be read, but that a later one of everything makes pointless."""

    def standing(self, backup: str) -> Verification | None:
        """The verification that counts for a backup."""
        found = self.verifications.get(backup, {})
        refuted = {name for mark in found.values() if mark.ok and mark.level == "full" for name in mark.refutes}
        return standing(mark for name, mark in found.items() if name not in refuted)

    def annotate(self, summary: BackupSummary) -> BackupSummary:
        """A backup's summary with its holds and verification."""
        holds = tuple(self.holds.get(summary.id, {}).values())
        return dataclasses.replace(summary, verification=self.standing(summary.id), holds=holds)

    def superseded(self, backups: Iterable[str]) -> list[str]:
        """Names of verifications that no longer count, given the backups that stay."""
        kept = set(backups)
        names = []
        for backup, found in self.verifications.items():
            counts = self.standing(backup) if backup in kept else None
            names += [name for name, mark in found.items() if mark is not counts]
        names += [finding.object for backup, bad in self.damaged.items() if backup not in kept for finding in bad]
        return [name for name in names if name.startswith(_VERIFIED)] + self.outdated


def standing(verifications: Iterable[Verification]) -> Verification | None:
    """The verification that counts: a failure that no later full success refutes, or the best success.

    One that a clock ahead dated is later than none.
    """
    found = sorted(verifications, key=lambda mark: mark.at)
    passed = [mark for mark in found if mark.ok and mark.level in ("sample", "full")]
    full = [mark for mark in passed if mark.level == "full"]
    failed = [mark for mark in found if not mark.ok]
    dated = [mark for mark in full if not _is_of_the_future(mark)]
    if failed and not (dated and dated[-1].at > failed[-1].at):
        return failed[-1]
    best = full or passed
    return best[-1] if best else None


def read_marks(repository: Repository) -> Marks:
    """All holds and verifications. Raises `RepositoryError` when the storage fails."""
    damaged: dict[Stored, Finding] = {}
    holds = _read_all(repository, _HOLDS, Hold, damaged)
    marks = Marks(holds, _read_all(repository, _VERIFIED, Verification, damaged))
    for stored, finding in damaged.items():
        backup = _NAME.fullmatch(stored.name)[1]  # type: ignore[index]
        counts = marks.standing(backup)
        if stored.name.startswith(_VERIFIED) and counts and counts.ok and _is_later(counts, stored):
            marks.outdated.append(stored.name)
        else:
            marks.damaged.setdefault(backup, []).append(finding)
    return marks


def add_hold(repository: Repository, backup: BackupId, reason: str) -> Hold:
    """Keep a backup until it is released. Not while a prune is at work: raises `BusyError`.

    Raises `RepositoryError` when the host slept meanwhile, for then a prune may have removed the backup.
    """
    with repository.lease("shared") as lease:
        if backup not in {id for id, _ in repository.names()}:
            raise RepositoryError(
                f"The repository {repository.storage.place} has no backup {backup}", next="See `propolis list`"
            )
        hold = Hold(backup, reason, utc_text(utc_now()), _who())
        lease.confirm(_write(repository, _HOLDS, hold))
    return hold


def held(repository: Repository, text: str) -> BackupId | None:
    """The backup that is held and whose ID begins so, even if it is missing; None when none or several fit."""
    matches = (_NAME.fullmatch(stored.name) for stored in repository.storage.list(_HOLDS))
    found = {match[1] for match in matches if match and text and match[1].startswith(text)}
    return BackupId(found.pop()) if len(found) == 1 else None


def release_holds(repository: Repository, backup: BackupId) -> int:
    """Remove all holds of a backup, readable or not; how many there were."""
    names = [stored.name for stored in repository.storage.list(_HOLDS)]
    names = [name for name in names if (match := _NAME.fullmatch(name)) and match[1] == backup]
    for name in names:
        repository.storage.delete(name)
    repository.storage.flush()
    return len(names)


def record_verification(repository: Repository, result: VerifyResult) -> Verification | None:
    """Keep the result of a verification; one that only looked at the manifest counts when it found damage."""
    if result.ok and result.level == "manifest":
        return None
    refutes: list[str] = []
    if result.ok and result.level == "full":
        found = read_marks(repository).verifications.get(result.id, {})
        refutes = [name for name, mark in found.items() if not mark.ok]
    mark = Verification(result.id, result.level, result.ok, result.decrypted, utc_text(utc_now()), _who(), refutes)
    _write(repository, _VERIFIED, mark)
    return mark


def _write(repository: Repository, folder: str, mark: Hold | Verification) -> str:
    """Store it; the object's name."""
    header = {"format": FORMAT, "kind": _KINDS[folder], **msgspec.to_builtins(mark)}
    stored = TextWriter(repository.key).finish(msgspec.json.encode(header), repository.ring.recipients())
    name = f"{folder}/{mark.backup}-{hash_name(stored)}"
    repository.storage.put(name, stored)
    repository.storage.flush()
    return name


def _read_all(
    repository: Repository, folder: str, type: type[Mark], damaged: dict[Stored, Finding]
) -> dict[str, dict[str, Mark]]:
    found: dict[str, dict[str, Mark]] = {}
    for stored in sorted(repository.storage.list(folder), key=lambda stored: stored.name):
        name = stored.name
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        try:
            mark = _read(repository, name, type, _KINDS[folder])
            if mark.backup != match[1]:
                raise IntegrityError(f"{name} has another backup's ID in its name")
            found.setdefault(mark.backup, {})[name] = mark
        except MissingObjectError:
            continue  # removed since it was listed
        except (IntegrityError, WrongKeyError) as error:
            damaged[stored] = Finding(error.what, name)
    return found


def _is_later(full: Verification, stored: Stored) -> bool:
    """Whether everything was verified after an object was written, however clocks may differ."""
    at = datetime.datetime.fromisoformat(full.at).timestamp()
    return full.level == "full" and not _is_of_the_future(full) and stored.modified_ns / 1e9 < at - GRACE


def _is_of_the_future(mark: Verification) -> bool:
    return mark.at > utc_text(utc_now() + TOLERANCE)


def _read(repository: Repository, name: str, type: type[Mark], kind: str) -> Mark:
    stored = repository.storage.get(name, SMALL_LIMIT)
    check_name(name, stored)
    header = read_header(stored, repository.identities, name, whole=True) or b""
    for _ in read_lines(stored, repository.identities, repository.key, name):
        raise IntegrityError(f"{name} is damaged: it has unexpected lines")
    try:
        told = msgspec.json.decode(header, type=_Kind)
        if told.format == FORMAT and told.kind == kind:
            return msgspec.json.decode(header, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{name} is damaged: {error}") from None
    raise IntegrityError(f"{name} is not a {kind} of format {FORMAT}")


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.geteuid())  # an ID without a name, as in containers
    return f"{user}@{socket.gethostname()}"
