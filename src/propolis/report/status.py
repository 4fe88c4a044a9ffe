"""What is going on with a stack, for a person."""

from __future__ import annotations

from pathlib import Path

from propolis.command.leftovers import STRANGER, UNRECORDED
from propolis.report.backups import show_backups, show_findings
from propolis.report.console import console, escape
from propolis.report.kept import show_kept
from propolis.report.runs import show_closed
from propolis.status import RunStatus, StackStatus


def show_status(status: StackStatus, file: Path | None = None) -> None:
    """What runs, what was left half done, what is backed up."""
    out = console()
    for service, state in status.services.items():
        out.print(f"{service:<10} {state}")
    if status.running is not None:
        run = status.running
        out.print(escape(f"running now: {run.command} since {run.started}, at step {run.step} of {run.steps}"))
    for run in status.half_done:
        told = escape(f"{run.command} of {run.started}, at step {run.step} of {run.steps}")
        out.print(f"[red]unfinished:[/] {told}; {_watched(run)}")
    for unreadable in status.unreadable:
        out.print(f"[red]unfinished:[/] {escape(unreadable)}")
    for leftover in status.leftovers:
        out.print(f"[yellow]leftover:[/] {escape(leftover)}")
    show_kept(status.kept)
    for stranger in status.strangers:
        out.print(f"[yellow]left alone:[/] {escape(stranger)} {STRANGER}")
    for place in status.unrecorded:
        out.print(f"[yellow]left alone:[/] {escape(place)} {UNRECORDED}")
    if status.backups_error is not None:
        out.print(f"[red]backups can't be listed:[/] {escape(status.backups_error)}")
    else:
        show_backups(status.backups)
        show_findings(status.damaged, status.remarks)
    if status.closed:
        show_closed(status.closed, file)


def _watched(run: RunStatus) -> str:
    if run.watch is None:
        return "run `propolis recover`"
    tries = f"{run.watch.tries} {'try' if run.watch.tries == 1 else 'tries'} so far"
    tried = f"{tries}, the last with exit code {run.watch.last_exit}; " if run.watch.tries else ""
    return f"its watchdog is recovering it: {tried}next try at {run.watch.next_at}"
