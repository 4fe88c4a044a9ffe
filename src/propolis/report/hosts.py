"""The hosts of a stack, for a person: how each is reached, what was found on it, and how it is."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from propolis.checks import Check
from propolis.config.schema import Config
from propolis.hosts.setup import Added, Found
from propolis.report.checks import show_checks
from propolis.report.console import console, escape, show_pairs, show_warning, table_of, wide_console


def show_list(config: Config) -> None:
    """This host and the others, and how they are reached."""
    table = table_of()
    for name in ("host", "reached by", "command"):
        table.add_column(name, overflow="fold")
    if config.host is not None:
        table.add_row(config.host, "this host", "")
    for host, how in config.hosts.items():
        table.add_row(host, escape(str(how)), escape(shlex.join(how.argv)))
    wide_console().print(table)
    if not config.hosts:
        console().print("There are no other hosts. Add one with `propolis host add`.")


def show_found(found: Found) -> None:
    """What is on a host."""
    out = console()
    for warning in found.warnings:
        show_warning(f"{found.host}: {warning}")
    services = [f"{role} at {where}" for role, where in found.services.items()]
    rows = [
        ("reached by", found.reached),
        ("services", ", ".join(services) or "none"),
        ("configuration", f"{found.file} ({'kept as it is' if found.configured else 'to be written'})"),
    ]
    out.print(f"[green]{escape(found.host)}[/] answers.")
    show_pairs(rows)
    for missing in found.missing:
        out.print(f"[yellow]missing on {escape(found.host)}:[/] {escape(missing)}")


def show_added(added: Added) -> None:
    """What was done to add a host."""
    out = console()
    name = escape(added.found.host)
    if not added.found.configured:
        out.print(escape(f"Wrote {added.found.file} on {added.found.host}. Please read it; it takes a minute."))
    known = "was given" if added.registered else "already has"
    out.print(f"The repository {known} the key of {name}: {escape(added.key)}")
    out.print(f"[green]{name}[/] {'was added to' if added.changed else 'is already in'} the configuration.")


def show_hosts(checks: Mapping[str, Iterable[Check]]) -> None:
    """The doctor's findings on each host."""
    for name, of_host in checks.items():
        console().print(f"[bold]{escape(name)}[/]")
        show_checks(of_host)


def show_removed(name: str, config: Config, *, plan: bool) -> None:
    """What became of a host, and what stays there."""
    out = console()
    done = "would be removed from" if plan else "was removed from"
    out.print(escape(f"{name} {done} the configuration. Backups no longer hold what is on it."))
    out.print(
        escape(f"On {name} itself nothing was changed: its propolis.yaml, its key and its journals stay there.")
    )
    out.print("Its key still opens what the repository lets hosts read. To withdraw it, run:")
    out.print(escape(f"  propolis repository key remove {name} --identity RECOVERY-KEY-FILE"))
