"""What is going on with a stack, for a person."""

from __future__ import annotations

from pathlib import Path

from propolis.command.leftovers import STRANGER, UNRECORDED
from propolis.report.backups import show_backups, show_findings
from propolis.report.console import console, escape
from propolis.report.kept import show_kept
from propolis.report.runs import show_closed
from propolis.status import HostState, RunStatus, StackStatus


def show_status(status: StackStatus, file: Path | None = None) -> None:
    """What runs, what was left half done, what is backed up."""
    out = console()
    _show_state(status)
    if (run := status.coordinating) is not None:
        out.print(escape(f"running now on all hosts: {_told(run)}"))
    for run in status.coordinated:
        out.print(f"[red]unfinished on several hosts:[/] {escape(_told(run))}; {_watched(run)}")
    for name, state in status.hosts.items():
        if state.error:
            out.print(f"[bold]{escape(name)}[/] [red]can't be asked:[/] {escape(state.error)}")
        else:
            out.print(f"[bold]{escape(name)}[/]")
            _show_state(state)
    if status.hosts:
        out.print("[bold]repository[/]")
    if status.backups_error is not None:
        out.print(f"[red]backups can't be listed:[/] {escape(status.backups_error)}")
    else:
        show_backups(status.backups)
        show_findings(status.damaged, status.remarks)
    if status.closed:
        show_closed(status.closed, file)


def _show_state(state: StackStatus | HostState) -> None:
    """What is on one host."""
    out = console()
    for service, found in state.services.items():
        out.print(f"{service:<10} {escape(found)}")
    if state.running is not None:
        out.print(escape(f"running now: {_told(state.running)}"))
    for run in state.half_done:
        out.print(f"[red]unfinished:[/] {escape(_told(run))}; {_watched(run)}")
    for unreadable in state.unreadable:
        out.print(f"[red]unfinished:[/] {escape(unreadable)}")
    for leftover in state.leftovers:
        out.print(f"[yellow]leftover:[/] {escape(leftover)}")
    show_kept(state.kept)
    for stranger in state.strangers:
        out.print(f"[yellow]left alone:[/] {escape(stranger)} {STRANGER}")
    for place in state.unrecorded:
        out.print(f"[yellow]left alone:[/] {escape(place)} {UNRECORDED}")


def _told(run: RunStatus) -> str:
    """Which run it is, how far it got, and whether only the verdict of all hosts decides on it."""
    doubt = " (in doubt: whether it is kept or undone is decided for all hosts together)" if run.is_prepared else ""
    return f"{run.command} of {run.started}, at step {run.step} of {run.steps}{doubt}"


def _watched(run: RunStatus) -> str:
    if run.watch is None:
        return "run `propolis recover`"
    tries = f"{run.watch.tries} {'try' if run.watch.tries == 1 else 'tries'} so far"
    tried = f"{tries}, the last with exit code {run.watch.last_exit}; " if run.watch.tries else ""
    return f"its watchdog is recovering it: {tried}next try at {run.watch.next_at}"
