"""Results of checking and repairing a repository, for a person."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from propolis.report.console import console
from propolis.report.units import about, counted, human_bytes
from propolis.repository.maintenance.check import CheckResult, Hit
from propolis.repository.maintenance.repair import RepairResult


def show_check(result: CheckResult) -> None:
    """What a check looked at and found."""
    out = console()
    out.print(
        escape(
            f"{result.place}: {counted(result.backups, 'backup')}, {counted(result.packs, 'pack')}, "
            f"{result.indexes} {'index' if result.indexes == 1 else 'indexes'}, "
            f"{counted(result.key_rings, 'key ring')}"
        )
    )
    if result.packs_read:
        out.print(
            f"Read {counted(result.packs_read, 'pack')} ({human_bytes(result.stored_bytes_read)}), "
            f"decrypted {result.packs_decrypted} of them."
        )
    for finding in result.findings:
        out.print(f"[red]{escape(about(finding.what, finding.object))}[/]")
        _hits(out, finding.hits)
    _notes(out, result.remarks, result.unchecked)
    problems = counted(len(result.findings), "problem")
    out.print("[green]No problems were found.[/]" if result.ok else f"[red]{problems} found.[/]")


def show_repair(result: RepairResult) -> None:
    """What a repair did, or would do."""
    out = console()
    out.print(escape(f"{result.place}: objects that are missing or damaged: {len(result.damaged)}"))
    for damaged in result.damaged:
        out.print(f"  [red]{escape(damaged)}[/]")
    for unreadable in result.unreadable:
        out.print(f"  [red]can't be read, left alone:[/] {escape(unreadable)}")
    if result.lost_segments:
        rest = result.lost_segments - result.from_packs - result.from_stack
        out.print(
            f"Lost pieces: {result.lost_segments}; found in the stack's files: {result.from_stack}, in packs: "
            f"{result.from_packs}; not found: {rest}."
        )
    if result.planned:
        out.print(f"Would move {counted(len(result.quarantined), 'object')} to quarantine/. Nothing was changed.")
    else:
        out.print(
            f"Stored {human_bytes(result.stored_bytes)} again; moved {counted(len(result.quarantined), 'object')} to "
            "quarantine/."
        )
    _notes(out, result.remarks, ())
    if result.losses:
        out.print("[red]Backups that can't be restored completely:[/]")
        _hits(out, result.losses)
    elif result.ok:
        out.print("[green]Every backup is complete.[/]" if not result.planned else "Every backup would be complete.")


def _hits(out: Console, hits: Iterable[Hit]) -> None:
    for hit in hits:
        more = ", …" if hit.files > len(hit.examples) else ""
        told = f"{counted(hit.files, 'file')}: {', '.join(hit.examples)}{more}" if hit.files else "all of it"
        out.print(escape(f"  backup {hit.backup} loses {told}"))


def _notes(out: Console, remarks: Iterable[str], unchecked: Iterable[str]) -> None:
    for remark in remarks:
        out.print(f"[yellow]note:[/] {escape(remark)}")
    for part in unchecked:
        out.print(f"[yellow]not checked:[/] {escape(part)}")
