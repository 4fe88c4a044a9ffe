"""`recover`, `status`, `clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propolis.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigFile,
    IdentityFile,
    PlanOnly,
    Quiet,
    config_of,
    named,
    observer,
)
from propolis.command.kept import clean as clean_kept
from propolis.command.kept import to_clean
from propolis.config.load import load
from propolis.errors import IncompleteError, UsageError
from propolis.recovery import recover_held, recover_stack
from propolis.recovery_of_hosts import recover_all
from propolis.report import kept as kept_report
from propolis.report.json import print_json
from propolis.report.runs import show_recovered, show_recovered_hosts
from propolis.report.status import show_status
from propolis.status import status as stack_status


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command()(recover)
    app.command()(status)
    app.command()(clean)


def recover(
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            help="The stack's state folder, instead of a configuration; its journals are all that is needed",
            hidden=True,
        ),
    ] = None,
) -> None:
    """Clean up after an interrupted run.

    Restarts services and deletes clones, on all hosts of the stack. Safe to run at any time.
    """
    told = observer(quiet=quiet, as_json=as_json)
    # Folders that overlap are nobody's concern here: services that ran have to run again.
    settings = load(config) if state is None else None
    if settings is None or not settings.hosts:
        recovered = recover_stack(state or load(config).state, told)
        if as_json:
            print_json(recovered)
        elif not quiet:
            show_recovered(recovered)
        return
    found = recover_all(settings, config, told)
    if as_json:
        print_json(found)
    elif not quiet:
        show_recovered_hosts(found)
    if error := found.error():
        raise error


def status(identity: IdentityFile = None, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show services, unfinished runs and the last backups.

    Asks all hosts of the stack; one that can't be asked is named (exit code 3).
    """
    found = stack_status(config_of(config), identity, file=config)
    if as_json:
        print_json(found)
    else:
        show_status(found, named(config))
    if unknown := [name for name, state in found.hosts.items() if state.error]:
        raise IncompleteError(f"The state of {', '.join(unknown)} is not known: not all hosts could be asked")


def clean(
    run: Annotated[
        str,
        typer.Argument(help="The run whose former data is deleted: its ID or a prefix of it", metavar="RUN"),
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Delete all former data, whatever its time")] = False,
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Delete the data that restores replaced and kept.

    Such data is kept by `propolis restore --keep-old`. Without RUN or --all, only data past its time is deleted.
    """
    if run and everything:
        raise UsageError("--all drops the former data of every run: leave it out, or the run")
    settings = config_of(config)
    if plan:
        chosen = to_clean(settings.state, run, everything=everything)
        if as_json:
            print_json(chosen)
        else:
            kept_report.show_clean_plan(chosen)
        return
    told = observer(quiet=quiet, as_json=as_json)
    report = clean_kept(settings, told, recover_held, run, everything=everything)
    if as_json:
        print_json(report)
    elif not quiet:
        kept_report.show_clean(report)
