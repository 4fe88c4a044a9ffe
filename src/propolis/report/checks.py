"""What the doctor found, for a person."""

from __future__ import annotations

from collections.abc import Iterable

from propolis.checks import Check
from propolis.report.console import console, escape

MARKS = {"ok": "[green]ok[/]  ", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


def show_checks(checks: Iterable[Check]) -> None:
    """The doctor's findings."""
    out = console()
    for check in checks:
        out.print(f"{MARKS[check.result]} {escape(check.name)}: {escape(check.message)}")
        if check.hint and check.result != "ok":
            out.print(f"       {escape(check.hint)}")
