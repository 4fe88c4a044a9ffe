"""What a repository has and lacks, for a person and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from propolis.report.console import console, escape, show_backups
from propolis.report.json import plain
from propolis.repository import BackupSummary
from propolis.repository.format.damage import Finding
from propolis.repository.records.overview import Overview


def show_overview(found: Overview) -> None:
    """One line a backup, newest last; then what can't be read, what is missing, and whose clock was wrong."""
    if found.backups or not found.findings:
        show_backups(found.backups)
    show_findings(found.findings, found.remarks)


def show_findings(findings: Iterable[Finding], remarks: Iterable[str]) -> None:
    """What is wrong with a repository, and what is odd."""
    out = console()
    for finding in findings:
        out.print(f"[red]damaged:[/] {escape(finding.what)} ({escape(finding.object)})")
    for remark in remarks:
        out.print(f"[yellow]note:[/] {escape(remark)}")


def backups_as_json(found: Overview) -> list[Any]:
    """The backups as one list: first those that are damaged or missing, whose other fields are null, newest last.

    `state` is `whole`, `damaged` or `missing`, and `problem` says why.
    """
    fields = [field.name for field in dataclasses.fields(BackupSummary)]
    lost = [(finding, "damaged") for finding in found.damaged]
    lost += [(finding, "missing") for finding in found.missing if finding.object.startswith("manifests/")]
    listed: list[Any] = [
        dict.fromkeys(fields)
        | {"id": finding.object[len("manifests/") :][:25], "state": state, "problem": finding.what}
        for finding, state in lost
    ]
    return listed + [plain(backup) | {"state": "whole", "problem": None} for backup in found.backups]
