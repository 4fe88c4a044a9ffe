"""Backups, one and all of a repository, for a person and for programs; and what verifying one found."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from propolis.report.console import NOT_BACKED_UP, console, escape, show_pairs, show_unkept, table_of, wide_console
from propolis.report.json import plain
from propolis.report.units import about, counted, human_bytes, human_seconds
from propolis.repository import BackupSummary, VerifyResult
from propolis.repository.format.damage import Finding
from propolis.repository.records.overview import Overview

_HOSTS = "hosts"
"""The fact that tells of each host of a backup of several."""

_APART = ("warnings", _HOSTS)
"""Facts that have lines of their own."""


def show_overview(found: Overview) -> None:
    """One line a backup, newest last; then what can't be read, what is missing, and whose clock was wrong."""
    if found.backups or not found.findings:
        show_backups(found.backups)
    show_findings(found.findings, found.remarks)


def show_findings(findings: Iterable[Finding], remarks: Iterable[str]) -> None:
    """What is wrong with a repository, and what is odd."""
    out = console()
    for finding in findings:
        out.print(f"[red]damaged:[/] {escape(about(finding.what, finding.object))}")
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
        dict.fromkeys((*fields, "hosts"))
        | {"id": finding.object[len("manifests/") :][:25], "state": state, "problem": finding.what}
        for finding, state in lost
    ]
    return listed + [
        plain(backup) | {"state": "whole", "problem": None, "hosts": list(backup.header.hosts)}
        for backup in found.backups
    ]


def show_backups(backups: Sequence[BackupSummary]) -> None:
    """One line a backup, newest last."""
    if not backups:
        console().print("No backups yet.")
        return
    table = table_of()
    for name in ("ID", "kind", "stack", "age", "files", "size", "downtime", "verified", ""):
        table.add_column(
            name, justify="right" if name in ("files", "size", "downtime", "age") else "left", no_wrap=True
        )
    for backup in backups:
        downtime = backup.header.facts.get("downtime_seconds")
        table.add_row(
            backup.id,
            backup.header.kind,
            backup.header.stack,
            human_seconds(age(backup)),
            str(backup.files),
            human_bytes(backup.bytes),
            "" if downtime is None else f"{downtime:.1f} s",
            _verified(backup),
            " ".join(_marks(backup)),
        )
    wide_console().print(table)


def show_summary(backup: BackupSummary) -> None:
    """All that the manifest's header tells."""
    header = backup.header
    show_pairs(
        [
            ("backup", backup.id),
            ("stack", f"{header.stack} on {', '.join(header.hosts) or header.host}"),
            ("kind", header.kind),
            ("taken", f"{header.started} to {header.ended} by propolis {header.propolis}"),
            *([("clock", backup.clock)] if backup.clock else []),
            ("parent", header.parent or "none"),
            ("verified", _verified(backup) or "never"),
            *(("held", f"since {hold.at} by {hold.by} {hold.reason}".strip()) for hold in backup.holds),
            *((service, version) for service, version in sorted(header.services.items())),
            *((f"host {name}", told) for name, told in _told_by_hosts(backup)),
            *((name.replace("_", " "), _short(value)) for name, value in header.facts.items() if name not in _APART),
            *(("warning", str(warning)) for warning in header.facts.get("warnings") or ()),
        ],
    )
    table = table_of()
    for name in ("tree", "from", "entries", "files", "size"):
        table.add_column(name, justify="right" if name in ("entries", "files", "size") else "left", no_wrap=True)
    for tree in header.trees:
        table.add_row(tree.name, escape(tree.original), str(tree.entries), str(tree.files), human_bytes(tree.bytes))
    wide_console().print(table)
    show_unkept(NOT_BACKED_UP, header.unkept)


def show_verify(result: VerifyResult) -> None:
    """What was checked, and what was not."""
    out = console()
    show_pairs(
        [
            ("backup", f"{result.id}: {result.files} files, {human_bytes(result.bytes)}"),
            *([("of the hosts", ", ".join(result.hosts))] if result.hosts else []),
            ("packs present", str(result.packs)),
            ("packs read", f"{result.packs_read}, {human_bytes(result.stored_bytes_read)}"),
            (
                "decrypted, every file's content checked" if result.decrypted else "decrypted",
                ("yes" if result.level == "full" else "yes, of those read")
                if result.decrypted
                else "no: that needs the recovery key (--identity)",
            ),
        ],
    )
    for finding in result.findings:
        files = counted(finding.entries_hit, "file")
        hit = f"affects {files}: {', '.join(finding.entries)}" if finding.entries_hit else ""
        out.print(f"[red]{escape(about(finding.what, finding.object, hit))}[/]")
    for remark in result.remarks:
        out.print(f"[yellow]note:[/] {escape(remark)}")
    problems = counted(len(result.findings), "problem")
    out.print("[green]No problems were found.[/]" if result.ok else f"[red]{problems} found.[/]")


def age(backup: BackupSummary) -> float:
    """Seconds since the backup ended."""
    ended = datetime.datetime.fromisoformat(backup.time or backup.header.ended)
    return (datetime.datetime.now(datetime.UTC) - ended).total_seconds()


def _told_by_hosts(backup: BackupSummary) -> Iterator[tuple[str, str]]:
    """What a backup of several hosts tells of each: what it is called on the network, its services and its trees."""
    told = backup.header.facts.get(_HOSTS)
    for name in backup.header.hosts:
        one = told.get(name) if isinstance(told, dict) else None
        said = one if isinstance(one, dict) else {}
        trees = sum(tree.host == name for tree in backup.header.trees)
        services = said.get("services")
        parts = [
            str(said.get("hostname", "")),
            ", ".join(f"{role} {release or ''}".strip() for role, release in services.items())
            if isinstance(services, dict)
            else "",
            counted(trees, "tree"),
        ]
        yield name, "; ".join(part for part in parts if part)


def _marks(backup: BackupSummary) -> list[str]:
    count = len(backup.header.hosts)
    return [
        *([f"{count} hosts"] if count > 1 else []),
        *(["held"] if backup.holds else []),
        *(["clock wrong"] if backup.clock else []),
    ]


def _verified(backup: BackupSummary) -> str:
    mark = backup.verification
    if mark is None:
        return ""
    return f"{mark.level} {mark.at[:10]}" if mark.ok else f"FAILED {mark.at[:10]}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ("; " if any(isinstance(part, dict) for part in value) else ", ").join(map(_short, value))
    return str(value)
