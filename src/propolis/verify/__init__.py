"""Verification of backups: what the repository holds is what was backed up, or it is said what isn't."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path

from propolis.command.stores import open_repository
from propolis.config.schema import Config
from propolis.errors import RepositoryError
from propolis.repository import Stats, VerifyLevel, VerifyResult, verify
from propolis.repository.access.leases import ReadingLease
from propolis.repository.records.marks import record_verification
from propolis.run import Observer

__all__ = ["verify_backup"]


def verify_backup(
    config: Config,
    backup: str,
    level: VerifyLevel,
    identity: Path | None,
    observer: Observer,
    *,
    record: bool = True,
    at: datetime | None = None,
) -> VerifyResult:
    """Verify one backup; without `identity` as far as stored bytes go.

    The result is kept in the repository, where `list` shows it and prune heeds it. Without `record`, nothing is
    written there; then nobody is told to leave the backup alone meanwhile. Where nothing can be written, it is
    verified all the same, and the result's remarks say so. `at`: in the repository as it was then, where nothing can
    be recorded.
    The result tells what was found wrong. Raises RepositoryError or IntegrityError when it can't even be begun.
    """
    repository = open_repository(config, identity, at)

    def told(stats: Stats) -> None:
        observer.progress(stats.read, None, "bytes")

    remarks = [finding.what for finding in repository.damaged_rings]
    id = repository.resolve(backup, config.name, remarks, sure=True)
    if not record or at is not None:
        result = verify(repository, id, level, observer=told)
        return dataclasses.replace(result, remarks=(*result.remarks, *remarks))
    with ReadingLease(repository.storage) as lease:
        if lease.warning:
            remarks.append(lease.warning)
        result = verify(repository, id, level, observer=told)
        try:
            lease.check()
            record_verification(repository, result)
        except RepositoryError as error:
            remarks.append(f"The result was not recorded in the repository: {error.what}")
    return dataclasses.replace(result, remarks=(*result.remarks, *remarks))
