"""What a backup did, for a person."""

from __future__ import annotations

from propolis.backup import BackupReport
from propolis.backup.cold import HostReport
from propolis.report.console import NOT_BACKED_UP, console, escape, show_pairs, show_unkept, show_warnings
from propolis.report.units import human_bytes


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
    rows += [(f"on {host.host}", _of_host(host)) for host in report.hosts]
    show_pairs(rows)
    show_unkept(NOT_BACKED_UP, report.summary.header.unkept)
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
    show_warnings(report.warnings)


def _of_host(host: HostReport) -> str:
    outage = "no service was stopped" if host.outage is None else f"services down for {host.outage:.1f} s"
    link = human_bytes(host.link_bytes_sent + host.link_bytes_received)
    return f"{outage}, {human_bytes(host.stored)} stored, {link} over the link"
