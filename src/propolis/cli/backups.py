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
from propolis.command.stores import open_repository
from propolis.report import console
from propolis.report.json import print_json
from propolis.repository.marks import read_marks


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command("list")(list_backups)
    app.command()(show)


def list_backups(
    identity: IdentityFile = None, at: AsOf = "", config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """List the backups, newest last."""
    repository = open_repository(config_of(config), identity, moment_of(at))
    marks = read_marks(repository)
    backups = [marks.annotate(summary) for summary in repository.list()]
    if as_json:
        print_json(backups)
    else:
        console.show_backups(backups)


def show(
    backup: BackupArgument = "latest",
    identity: IdentityFile = None,
    at: AsOf = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what one backup holds."""
    repository = open_repository(config_of(config), identity, moment_of(at))
    summary = read_marks(repository).annotate(repository.summary(repository.resolve(backup)))
    if as_json:
        print_json(summary)
    else:
        console.show_summary(summary)
