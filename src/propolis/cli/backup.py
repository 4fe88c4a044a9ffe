"""`backup`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from propolis.backup.cold import BackupReport, back_up, cold_plan
from propolis.backup.options import BACKGROUND, BackupOptions
from propolis.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, PlanOnly, Quiet, config_of, observer
from propolis.command.context import Context
from propolis.config.schema import Config
from propolis.recovery import recover_held
from propolis.report.backup import show_backup
from propolis.report.console import show_plan
from propolis.report.json import print_json, print_plan
from propolis.repository import parse_rate
from propolis.run import Plan, SilentObserver
from propolis.run.journal import new_run_id


def register(app: typer.Typer) -> None:
    """Add this family's command."""
    app.command()(backup)


def backup(
    cold: Annotated[
        bool,
        typer.Option(
            "--cold",
            help="Stop services, clone their folders, start services: complete and consistent (always so)",
            hidden=True,
        ),
    ] = True,
    limit_upload: Annotated[
        str | None,
        typer.Option("--limit-upload", help="Limit the upload rate, e.g. 20M (bytes per second)", metavar="RATE"),
    ] = None,
    reread: Annotated[
        bool,
        typer.Option(
            "--reread",
            help="Read every file, even if its size and times did not change, and report those that differ anyway",
        ),
    ] = False,
    force_unhealthy: Annotated[
        bool,
        typer.Option(
            "--force-unhealthy",
            help="Back up even if TheHive is not healthy. It is stopped and may not start again; its answer is "
            "recorded in the manifest",
        ),
    ] = False,
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take a backup.

    TheHive is down for some seconds, then it runs again while the data is stored.
    """
    limits = BACKGROUND if limit_upload is None else replace(BACKGROUND, upload=parse_rate(limit_upload))
    options = BackupOptions(limits=limits, reread=reread, force_unhealthy=force_unhealthy)
    settings = config_of(config)
    if plan:
        _show_plan(settings, config, options, as_json=as_json)
        return
    told = observer(quiet=quiet, as_json=as_json)
    if settings.hosts:
        # Only a stack on several hosts needs what drives them.
        from propolis.backup.woven import back_up_hosts

        report: BackupReport = back_up_hosts(settings, config, told, recover_held, options)
    else:
        report = back_up(settings, told, recover_held, options)
    if as_json:
        print_json(report)
    elif not quiet:
        show_backup(report)


def _show_plan(settings: Config, file: Path, options: BackupOptions, *, as_json: bool) -> None:
    hosts: tuple[str, ...] = ()
    found: Plan[Any]
    if settings.hosts:
        from propolis.backup.woven import plan_on_hosts

        hosts, found = plan_on_hosts(settings, file, options)
    else:
        with Context(settings, SilentObserver(), new_run_id()) as context:
            found = cold_plan(options, context)
    if as_json:
        print_plan(found, hosts)
    else:
        show_plan(found, hosts)
