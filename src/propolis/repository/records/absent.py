"""What must be in a repository and isn't. Nobody misses what nobody ever heard of; but backups are named elsewhere.

A hold and a record of a verification name their backup, a manifest names its parent, and a host remembers the newest
backup that it recorded. One that is named, isn't there, and wasn't removed on purpose (`removals`), is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId
from propolis.repository.model import BackupSummary
from propolis.repository.records.marks import Marks
from propolis.repository.records.removals import read_removals
from propolis.repository.repository import Repository


def absent(
    repository: Repository, backups: Iterable[BackupSummary], marks: Marks, remembered: Mapping[BackupId, str]
) -> tuple[list[Finding], list[Finding]]:
    """What is missing, and which records that would tell can't be read. Raises `RepositoryError`."""
    unread: list[Finding] = []
    removed = read_removals(repository, unread)
    there = {id for id, _ in repository.names()}
    reasons: dict[str, list[str]] = {}

    def named(id: str, why: str) -> None:
        if id not in there and id not in removed and why not in reasons.setdefault(id, []):
            reasons[id].append(why)

    for id, holds in marks.holds.items():
        for hold in holds.values():
            named(id, f"it is held since {hold.at} by {hold.by}" + (f" ({hold.reason})" if hold.reason else ""))
    for id, why in remembered.items():
        named(id, why)
    for id in marks.verifications:
        named(id, "it was verified")
    for id in marks.damaged:
        named(id, "it has a mark that can't be read")
    if not unread:  # a parent that was removed would be called missing
        for backup in backups:
            if backup.header.parent is not None:
                named(backup.header.parent, f"{backup.id} is based on it")
    found = [
        Finding(f"Backup {id} is missing: {'; '.join(whys)}", f"manifests/{id}")
        for id, whys in sorted(reasons.items())
        if whys
    ]
    return [*_rings(repository), *found], unread


def _rings(repository: Repository) -> list[Finding]:
    """Key rings that are missing from either of their places; the key ring that counts tells how many there were."""
    found = []
    for folder in ("keys", "spare"):
        names = (
            {stored.name for stored in repository.storage.list(folder)} if _is_listed(repository, folder) else set()
        )
        there = {name.partition("/")[2][:6] for name in names}
        for number in range(1, repository.ring.sequence + 1):
            if f"{number:06d}" not in there:
                what = "key ring" if folder == "keys" else "spare of key ring"
                found.append(Finding(f"The {what} {number} is missing", f"{folder}/{number:06d}"))
    return found


def _is_listed(repository: Repository, folder: str) -> bool:
    return all(finding.object != folder for finding in repository.damaged_rings)
