"""What a restore did, or an undo, for a person."""

from __future__ import annotations

from pathlib import Path

from propolis.report.closed import show_closed
from propolis.report.console import console, escape, show_pairs, show_warnings
from propolis.report.kept import moment
from propolis.report.units import human_bytes
from propolis.report.unkept import NOT_BACKED_UP, NOT_RESTORED, show_unkept
from propolis.restore import RestoreReport
from propolis.restore.former import KeptReport, UndoReport


def show_restore(report: RestoreReport, file: Path | None = None) -> None:
    """What a restore did."""
    out = console()
    out.print(f"[green]Backup {report.backup}[/] has been restored: {', '.join(report.stores)}.")
    rows = [
        ("written", f"{report.files} files, {human_bytes(report.bytes)}"),
        ("downtime of TheHive", "was not running" if report.downtime is None else f"{report.downtime:.1f} s"),
    ]
    if report.passwords_set:
        rows.append(("given this host's password", ", ".join(report.passwords_set)))
    if report.laid_beside:
        rows.append(("other host's configuration", ", ".join(report.laid_beside)))
    rows += row_of(report.run, report.kept)
    show_pairs(out, rows)
    show_unkept(out, NOT_RESTORED, report.unkept)
    show_unkept(out, NOT_BACKED_UP, report.never_kept)
    show_warnings(out, report.warnings)
    if report.closed:
        show_closed(out, report.closed, file)


def show_undo(report: UndoReport) -> None:
    """What an undo did."""
    out = console()
    out.print(escape(f"Run {report.undone} is undone: {', '.join(report.stores)} are what they were before it."))
    rows = [
        ("put back", f"{report.files} files, {human_bytes(report.bytes)}"),
        ("downtime of TheHive", "was not running" if report.downtime is None else f"{report.downtime:.1f} s"),
        *row_of(report.run, report.kept),
    ]
    show_pairs(out, rows)
    show_warnings(out, report.warnings)


def row_of(run: str, kept: KeptReport | None) -> list[tuple[str, str]]:
    """The line of a report about what is kept of the replaced data; none if it was dropped."""
    if kept is None:
        return []
    size = f"{kept.files} files, {human_bytes(kept.bytes)}"
    return [
        ("former data", f"{size}, kept until {moment(kept.until)}; to put it back: propolis restore --undo {run}")
    ]
