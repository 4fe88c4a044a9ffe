"""What differs between two backups, or between a backup and what lies in the stack's folders and bucket now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from propolis.compare.live import LiveTrees
from propolis.config.schema import Config
from propolis.repository import BackupId, Repository
from propolis.repository.browse.diff import TreeDiff, diff_backups

__all__ = ["Comparison", "compare_backups", "compare_live"]


@dataclass
class Comparison:
    """A comparison under way: its trees are to be taken one after the other."""

    before: BackupId
    after: BackupId | None
    """None: what is there now."""
    trees: Iterator[TreeDiff]
    content_read: bool = False
    """Whether live files were read; if not, they were compared by type, size, time, owner, mode and attributes."""
    remarks: list[str] = field(default_factory=list)
    """What somebody should know. Complete once all trees were taken; so is `unread`."""
    unread: list[str] = field(default_factory=list)
    """What could not be compared, and why: the first few."""


def compare_backups(
    repository: Repository, before: BackupId, after: BackupId, stores: Sequence[str] = ()
) -> Comparison:
    """What changed from one backup to another; `stores`: only these, all where it is empty.

    Raises RepositoryError, and IntegrityError when one of them is damaged.
    """
    old, new = repository.manifest(before), repository.manifest(after)
    found = Comparison(before, after, diff_backups(old, new, stores))
    if old.header.stack != new.header.stack:
        found.remarks.append(f"{before} is of the stack {old.header.stack}, {after} of {new.header.stack}")
    return found


def compare_live(
    config: Config,
    repository: Repository,
    backup: BackupId,
    stores: Sequence[str] = (),
    *,
    content: bool = False,
) -> Comparison:
    """What changed from a backup to what the stack holds now, which is only read.

    With `content`, live files are read and compared by the hashes that the repository keeps. Raises RepositoryError,
    IntegrityError, and PreflightError when a place can't be looked at.
    """
    manifest = repository.manifest(backup)
    live = LiveTrees(config, repository if content else None)
    found = Comparison(backup, None, live.diff(manifest, stores), content, live.remarks, live.unread)
    if manifest.header.stack != config.name:
        live.remarks.append(f"{backup} is of the stack {manifest.header.stack}, and compared with {config.name}")
    return found
