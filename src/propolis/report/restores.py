"""What a restore did, for a person."""

from __future__ import annotations

from pathlib import Path

from propolis.report.closed import show_closed
from propolis.report.console import console, show_pairs, show_warnings
from propolis.report.units import human_bytes
from propolis.report.unkept import NOT_BACKED_UP, NOT_RESTORED, show_unkept
from propolis.restore import RestoreReport


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
    show_pairs(out, rows)
    show_unkept(out, NOT_RESTORED, report.unkept)
    show_unkept(out, NOT_BACKED_UP, report.never_kept)
    show_warnings(out, report.warnings)
    if report.closed:
        show_closed(out, report.closed, file)
