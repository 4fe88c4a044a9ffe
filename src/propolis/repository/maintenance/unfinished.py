"""What backups and restores of several hosts leave behind: parts without a manifest, verdicts of long ago."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from propolis.errors import IntegrityError
from propolis.repository.format.damage import Finding, reason
from propolis.repository.format.part import parse_part_name
from propolis.repository.model import BackupSummary
from propolis.repository.repository import Repository
from propolis.repository.storage.kinds import PARTS
from propolis.repository.write.compose import load_part
from propolis.repository.write.heading import RUN


@dataclass
class Unfinished:
    """The parts in a repository."""

    needed: list[str] = field(default_factory=list)
    """Names of those that may still become a backup: what they refer to stays."""
    over: list[str] = field(default_factory=list)
    """Names of those that may go: their backup was recorded, or never will be."""
    damaged: list[Finding] = field(default_factory=list)
    """No backup is made of these, whatever becomes of their run."""


def find_parts(repository: Repository, backups: Iterable[BackupSummary], old_ns: int) -> Unfinished:
    """Which parts there are. `backups` are all that are recorded; what is older than `old_ns` is given up.

    Raises `RepositoryError` when the storage fails.
    """
    recorded = {backup.header.facts.get(RUN) for backup in backups}
    found = Unfinished()
    for stored in sorted(repository.storage.list(PARTS), key=lambda stored: stored.name):
        name = parse_part_name(stored.name)
        if name is None:
            continue
        if name.run in recorded or stored.modified_ns < old_ns:
            found.over.append(stored.name)
            continue
        try:
            load_part(repository, stored.name).prove()
        except IntegrityError as error:
            found.damaged.append(Finding(reason(repository.storage, error), stored.name))
        else:
            found.needed.append(stored.name)
    return found
