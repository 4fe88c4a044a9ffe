"""Results for a person, on the console."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from propolis.errors import PropolisError
from propolis.report.units import human_bytes, human_seconds
from propolis.report.unkept import NOT_BACKED_UP, show_unkept

if TYPE_CHECKING:  # a command loads what its own results take, when it tells them
    from rich.console import Console
    from rich.table import Table

    from propolis.backup import BackupReport
    from propolis.checks import Check
    from propolis.recovery import Recovered
    from propolis.repository import BackupSummary, VerifyResult
    from propolis.run import Plan

MARKS = {"ok": "[green]ok[/]  ", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


def console(*, stderr: bool = False, soft_wrap: bool = True, width: int | None = None) -> Console:
    """Standard output, or standard error; lines aren't wrapped unless they are to be."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap, width=width)


def escape(text: str) -> str:
    """The text with nothing in it taken for markup."""
    from rich.markup import escape

    return escape(text)


def show_error(error: PropolisError) -> None:
    """One clear message on standard error."""
    console(stderr=True).print(f"[red]propolis:[/] {escape(str(error))}")


def show_warning(text: str) -> None:
    """Something to know that stops nothing, on standard error."""
    console(stderr=True).print(f"[yellow]warning:[/] {escape(text)}")


def show_plan(plan: Plan[Any]) -> None:
    """The steps that a command would take."""
    out = console()
    out.print(f"{plan.command}: {len(plan.steps)} steps. Nothing was changed.")
    for number, step in enumerate(plan.steps, 1):
        commit = (
            "   <- once this is done, an interrupted run is completed instead of undone"
            if number - 1 == plan.commit
            else ""
        )
        out.print(escape(f"{number:>3}. {step.title}{commit}"))


def show_backup(report: BackupReport) -> None:
    """What a backup did."""
    stats, out = report.stats, console()
    out.print(f"[green]Backup {report.summary.id}[/] is complete.")
    rows = [
        ("downtime of TheHive", "not running" if report.downtime is None else f"{report.downtime:.1f} s"),
        ("copied during the downtime", human_bytes(report.bytes_copied_while_down)),
        ("contents", f"{report.summary.files} files, {human_bytes(report.summary.bytes)}"),
        ("unchanged, not read", f"{stats.unchanged} files"),
        ("read", human_bytes(stats.read)),
        ("new in the repository", f"{human_bytes(stats.new)}, stored as {human_bytes(stats.stored)}"),
    ]
    show_pairs(out, rows)
    show_unkept(out, NOT_BACKED_UP, report.summary.header.unkept)
    if report.altered.count:
        named = ", ".join(report.altered.named)
        out.print(
            f"[red]{report.altered.count} files changed although their size and times did not:[/] {escape(named)}"
            + (" and others." if report.altered.count > len(report.altered.named) else ".")
        )
        out.print(
            "Either something changed them and set their times back, or the disk lost their content. Backup "
            f"{report.summary.header.parent} has their former content."
        )
    show_warnings(out, report.warnings)


def show_verify(result: VerifyResult) -> None:
    """What was checked, and what was not."""
    out = console()
    show_pairs(
        out,
        [
            ("backup", f"{result.id}: {result.files} files, {human_bytes(result.bytes)}"),
            ("packs present", str(result.packs)),
            ("packs read", f"{result.packs_read}, {human_bytes(result.stored_bytes_read)}"),
            (
                "decrypted, every file's content checked" if result.decrypted else "decrypted",
                ("yes" if result.level == "full" else "yes, of those read")
                if result.decrypted
                else "no: give the recovery key with --identity",
            ),
        ],
    )
    for finding in result.findings:
        hit = f"; affects {finding.entries_hit} files: {', '.join(finding.entries)}" if finding.entries_hit else ""
        out.print(f"[red]{escape(finding.what)}[/] ({escape(finding.object)}{escape(hit)})")
    for remark in result.remarks:
        out.print(f"[yellow]note:[/] {escape(remark)}")
    out.print("[green]No problems were found.[/]" if result.ok else f"[red]{len(result.findings)} findings.[/]")


def show_backups(backups: Sequence[BackupSummary]) -> None:
    """One line a backup, newest last."""
    if not backups:
        console().print("No backups yet.")
        return
    table = _table()
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
            " ".join([*(["held"] if backup.holds else []), *(["clock wrong"] if backup.clock else [])]),
        )
    _wide().print(table)


def _verified(backup: BackupSummary) -> str:
    mark = backup.verification
    if mark is None:
        return ""
    return f"{mark.level} {mark.at[:10]}" if mark.ok else f"FAILED {mark.at[:10]}"


def show_summary(backup: BackupSummary) -> None:
    """All that the manifest's header tells."""
    out, header = console(), backup.header
    show_pairs(
        out,
        [
            ("backup", backup.id),
            ("stack", f"{header.stack} on {header.host}"),
            ("kind", header.kind),
            ("taken", f"{header.started} to {header.ended} by propolis {header.propolis}"),
            *([("clock", backup.clock)] if backup.clock else []),
            ("parent", header.parent or "none"),
            ("verified", _verified(backup) or "never"),
            *(("held", f"since {hold.at} by {hold.by} {hold.reason}".strip()) for hold in backup.holds),
            *((service, version) for service, version in sorted(header.services.items())),
            *((name.replace("_", " "), _short(value)) for name, value in header.facts.items() if name != "warnings"),
            *(("warning", str(warning)) for warning in header.facts.get("warnings") or ()),
        ],
    )
    table = _table()
    for name in ("tree", "from", "entries", "files", "size"):
        table.add_column(name, justify="right" if name in ("entries", "files", "size") else "left", no_wrap=True)
    for tree in header.trees:
        table.add_row(tree.name, escape(tree.original), str(tree.entries), str(tree.files), human_bytes(tree.bytes))
    _wide().print(table)
    show_unkept(out, NOT_BACKED_UP, header.unkept)


def show_recovered(recovered: Sequence[Recovered]) -> None:
    """What recovery found and did."""
    out = console()
    if not recovered:
        out.print("There are no unfinished runs.")
    for run in recovered:
        out.print(escape(f"{run.command} of {run.started}: {run.outcome}"))


def show_checks(checks: Iterable[Check]) -> None:
    """The doctor's findings."""
    out = console()
    for check in checks:
        out.print(f"{MARKS[check.result]} {escape(check.name)}: {escape(check.message)}")
        if check.hint and check.result != "ok":
            out.print(f"       {escape(check.hint)}")


def age(backup: BackupSummary) -> float:
    """Seconds since the backup ended."""
    ended = datetime.datetime.fromisoformat(backup.time or backup.header.ended)
    return (datetime.datetime.now(datetime.UTC) - ended).total_seconds()


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ("; " if any(isinstance(part, dict) for part in value) else ", ").join(map(_short, value))
    return str(value)


def show_warnings(out: Console, warnings: Iterable[str]) -> None:
    """One line a warning."""
    for warning in warnings:
        out.print(f"[yellow]warning:[/] {escape(warning)}")


def show_pairs(out: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        out.print(f"  {escape(name):<{width}}  {escape(value)}")


def _table() -> Table:
    from rich.table import Table

    return Table(box=None, pad_edge=False)


def _wide() -> Console:
    out = console(soft_wrap=False)
    return out if out.is_terminal else console(soft_wrap=False, width=200)
