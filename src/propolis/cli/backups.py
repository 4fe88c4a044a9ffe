"""`list`, `show`."""

from __future__ import annotations

import typer

from propolis.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    AsOf,
    BackupArgument,
    ConfigFile,
    IdentityFile,
    config_of,
    moment_of,
)
from propolis.command.known import remembered
from propolis.command.stores import open_repository
from propolis.errors import IntegrityError
from propolis.report.backups import backups_as_json, show_findings, show_overview, show_summary
from propolis.report.json import plain, print_json
from propolis.report.units import counted
from propolis.repository.records.marks import read_marks
from propolis.repository.records.overview import overview


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command("list")(list_backups)
    app.command()(show)


def list_backups(
    identity: IdentityFile = None, at: AsOf = "", config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """List the backups, newest last.

    Backups that are damaged or missing are listed, too.
    """
    settings = config_of(config)
    repository = open_repository(settings, identity, moment_of(at))
    found = overview(repository, remembered(settings, repository) if not at else None)
    if as_json:
        print_json(backups_as_json(found))
    else:
        show_overview(found)
    if found.findings:
        raise IntegrityError(
            f"The repository {repository.storage.place} is damaged ({counted(len(found.findings), 'problem')}): "
            f"{found.findings[0].what}",
            left="As far as is known, the other backups are not affected",
            next="Run `propolis repository check`",
        )


def show(
    backup: BackupArgument = "latest",
    identity: IdentityFile = None,
    at: AsOf = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the contents of a backup."""
    loaded = config_of(config)
    repository = open_repository(loaded, identity, moment_of(at))
    remarks: list[str] = []
    id = repository.resolve(backup, loaded.name, remarks)
    summary = read_marks(repository).annotate(repository.summary(id))
    if as_json:
        print_json(plain(summary) | {"hosts": list(summary.header.hosts), "remarks": remarks})
    else:
        show_summary(summary)
        show_findings(repository.damaged_rings, remarks)
