"""What a restore, an undo or a recovery did, for a person."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from propolis.command.host_key import add_host_key
from propolis.recovery import Recovered
from propolis.recovery_of_hosts import RecoveredHosts
from propolis.report.console import (
    NOT_BACKED_UP,
    NOT_RESTORED,
    console,
    escape,
    show_pairs,
    show_unkept,
    show_warnings,
)
from propolis.report.kept import moment
from propolis.report.units import human_bytes
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
    rows += _kept_row(report.run, report.kept, file)
    show_pairs(rows)
    show_unkept(NOT_RESTORED, report.unkept)
    show_unkept(NOT_BACKED_UP, report.never_kept)
    show_warnings(report.warnings)
    if report.closed:
        show_closed(report.closed, file)


def show_undo(report: UndoReport, file: Path | None = None) -> None:
    """What an undo did."""
    out = console()
    out.print(
        escape(f"Run {report.undone} has been undone: {', '.join(report.stores)} are what they were before it.")
    )
    rows = [
        ("put back", f"{report.files} files, {human_bytes(report.bytes)}"),
        ("downtime of TheHive", "was not running" if report.downtime is None else f"{report.downtime:.1f} s"),
        *_kept_row(report.run, report.kept, file),
    ]
    show_pairs(rows)
    show_warnings(report.warnings)


def _kept_row(run: str, kept: KeptReport | None, file: Path | None) -> list[tuple[str, str]]:
    """The line of a report about what is kept of the replaced data; none if it was dropped."""
    if kept is None:
        return []
    size = f"{kept.files} files, {human_bytes(kept.bytes)}"
    named = "" if file is None else f" --config {shlex.quote(str(file.absolute()))}"
    command = f"propolis restore --undo {run}{named}"
    return [("former data", f"{size}, kept until {moment(kept.until)}; to put it back: {command}")]


def show_recovered(recovered: Sequence[Recovered]) -> None:
    """What recovery found and did."""
    out = console()
    if not recovered:
        out.print("There are no unfinished runs.")
    for run in recovered:
        out.print(escape(f"{run.command} of {run.started}: {run.outcome}"))


def show_recovered_hosts(found: RecoveredHosts) -> None:
    """What recovery found and did on each host."""
    out = console()
    for name, recovery in found.hosts.items():
        for run in recovery.recovered:
            out.print(escape(f"{name}: {run.command} of {run.started}: {run.outcome}"))
        if recovery.error:
            out.print(f"{escape(name)}: [red]not recovered:[/] {escape(recovery.error)}")
        elif not recovery.recovered:
            out.print(escape(f"{name}: there are no unfinished runs."))


def show_closed(closed: str, file: Path | None) -> None:
    """Why this host can't back up yet, and the command that lets it."""
    out = console()
    out.print(f"[yellow]this host can't back up yet:[/] {escape(closed)}")
    out.print(f"To back up from this host, run: {escape(add_host_key(file))}")
