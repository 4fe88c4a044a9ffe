"""What a repository has and lacks: every backup, those that can't be read, those that must be there and aren't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId
from propolis.repository.model import BackupSummary
from propolis.repository.records.absent import absent
from propolis.repository.records.marks import read_marks
from propolis.repository.repository import Repository


@dataclass(frozen=True)
class Overview:
    """All of it. Only without `findings` is everything there and readable, as far as that is known."""

    backups: tuple[BackupSummary, ...]
    """Those that can be read, with their holds and verifications, newest last."""
    damaged: tuple[Finding, ...]
    """Manifests that can't be read."""
    missing: tuple[Finding, ...]
    """What must be there and isn't."""
    others: tuple[Finding, ...]
    """Key rings, holds and other records that can't be read."""
    remarks: tuple[str, ...]
    """Whose clock was wrong."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is damaged or missing."""
        return self.damaged + self.missing + self.others


def overview(repository: Repository, remembered: Mapping[BackupId, str] | None = None) -> Overview:
    """Look at the whole repository, short of packs and indexes.

    `remembered`: backups that must be there, and how that is known. Raises `RepositoryError` when the storage fails.
    """
    listing = repository.listing()
    marks = read_marks(repository)
    missing, unread = absent(repository, listing.backups, marks, remembered or {})
    unreadable = [finding for found in marks.damaged.values() for finding in found]
    remarks = [backup.clock for backup in listing.backups if backup.clock]
    if listing.behind:
        remarks.insert(0, "This host's clock is behind: most backups are dated later")
    return Overview(
        tuple(marks.annotate(backup) for backup in listing.backups),
        tuple(listing.damaged),
        tuple(missing),
        (*repository.damaged_rings, *unreadable, *unread),
        tuple(remarks),
    )
