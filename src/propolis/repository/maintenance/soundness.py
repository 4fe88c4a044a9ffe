"""Decides which backups stay, counting none as good whose entries no reader would take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from propolis.config.places import KeepConfig
from propolis.errors import IntegrityError
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId
from propolis.repository.format.rules import check_entries
from propolis.repository.maintenance.retention import Candidate, Decision, decide
from propolis.repository.repository import Repository


def decide_among_sound(
    repository: Repository, candidates: Iterable[Candidate], keep: KeepConfig, min_verified: int
) -> tuple[list[Decision], list[Finding]]:
    """`decide`, after reading the entries of all backups that are to stay; and what is wrong with them.

    One whose entries can't be read or break a rule counts as damaged, and then it is decided anew. Those that passed
    a verification are not read again. Raises `RepositoryError` when the storage fails.
    """
    known = {candidate.id: candidate for candidate in candidates}
    read = {id for id, candidate in known.items() if candidate.verified or candidate.bad}
    findings: list[Finding] = []
    while True:
        decisions = decide(known.values(), keep, min_verified)
        unread = [decision.id for decision in decisions if decision.keep and decision.id not in read]
        if not unread:
            return decisions, findings
        for id in unread:
            read.add(id)
            problem = _problem(repository, id)
            if problem is not None:
                findings.append(problem)
                known[id] = dataclasses.replace(known[id], bad=True)


def _problem(repository: Repository, id: BackupId) -> Finding | None:
    name = dict(repository.names()).get(id, id)
    try:
        manifest = repository.manifest(id)
        check_entries(manifest.header, manifest.entries())
    except IntegrityError as error:
        return Finding(f"Backup {id} can't be restored: {error.what}", name)
    return None
