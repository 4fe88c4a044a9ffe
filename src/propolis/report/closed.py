"""A repository that this host can't write to yet."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from propolis.command.host_key import add_host_key
from propolis.report.console import escape


def show_closed(out: Console, closed: str, file: Path | None) -> None:
    """Why this host can't back up yet, and the command that lets it."""
    out.print(f"[yellow]this host can't back up yet:[/] {escape(closed)}")
    out.print(f"To back up from this host, run: {escape(add_host_key(file))}")
