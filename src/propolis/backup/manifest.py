"""The step that records a backup, and what a manifest tells of the stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propolis.backup.count import CountDocuments
from propolis.backup.steps import CheckStack, CloneTrees, OpenRepository, StoreTrees
from propolis.command.context import Context
from propolis.command.known import remember
from propolis.errors import PropolisError
from propolis.repository import BackupId, BackupSummary, Facts, Repository
from propolis.run import Results, Step


class WriteManifest(Step[Context, BackupSummary], frozen=True, kw_only=True, tag="write-manifest"):
    """Writes the manifest: from here on the backup exists."""

    turn = "record"

    commits = True

    needs = (CheckStack, OpenRepository, CloneTrees)
    uses = (CountDocuments, StoreTrees)

    def _title(self) -> str:
        return "write the manifest (from here on the backup exists)"

    def do(self, context: Context, results: Results) -> BackupSummary:
        """Commit."""
        opened = results[OpenRepository]
        summary = opened.writer.commit(facts_of(context, results))
        remember_made(context, opened.repository, summary.id)
        return summary

    def summary(self, result: BackupSummary) -> Mapping[str, Any]:
        """Which backup it is."""
        return {"backup": result.id}


def facts_of(context: Context, results: Results) -> Facts:
    """What the manifest tells of the stack, or of what of it is on this host."""
    checked, cloned = results[CheckStack], results[CloneTrees]
    facts = {
        **checked.facts,
        "clone": cloned.as_facts(),
        "point_in_time": cloned.point_in_time,
        "downtime_seconds": context.services.downtime,
        "warnings": context.warnings,
    }
    for one in results.all(CountDocuments):
        facts |= one.as_facts(context.config)
    return Facts(kind="cold", started=checked.started, services=dict(checked.services), facts=facts)


def remember_made(context: Context, repository: Repository, backup: BackupId) -> None:
    """Record on this host that it made the backup."""
    try:
        remember(context.config, repository, backup)
    except PropolisError as error:
        # The backup is there all the same; only its loss might go unnoticed.
        context.observer.note(f"This host could not record that it made the backup: {error.what}")
