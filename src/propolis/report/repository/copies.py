"""Copies of a repository, for a person."""

from __future__ import annotations

from rich.markup import escape

from propolis.report.console import console
from propolis.report.units import counted, human_bytes
from propolis.repository.maintenance.copy import CopyResult


def show_copy(result: CopyResult) -> None:
    """What was copied, or would be."""
    out = console()
    verb = "Copied" if result.done else "Would copy"
    out.print(escape(f"{verb} {result.source} to {result.target}{', a new repository' if result.new else ''}:"))
    objects = counted(result.objects, "object")
    out.print(f"  {objects}, {human_bytes(result.bytes)}; {result.present} exist there already")
    if result.extended:
        out.print(f"  {result.extended} of those are locked for longer now")
    backups = ", ".join(result.backups) if result.backups else "none"
    out.print(escape(f"  backups that were missing there: {backups}"))
    for remark in result.remarks:
        out.print(f"[yellow]note:[/] {escape(remark)}")
