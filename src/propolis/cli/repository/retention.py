"""`hold`, `repository prune`, `repository unlock`."""

from __future__ import annotations

from typing import Annotated

import typer

from propolis.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    BackupArgument,
    ConfigFile,
    IdentityFile,
    PlanOnly,
    Quiet,
    config_of,
)
from propolis.command.known import remembered
from propolis.command.stores import open_repository
from propolis.errors import IntegrityError
from propolis.report.backups import show_findings
from propolis.report.json import print_json
from propolis.report.repository.retention import HoldResult, UnlockResult, show_hold, show_prune, show_unlock
from propolis.repository.access.leases import unlock as unlock_storage
from propolis.repository.maintenance.prune import prune as prune_repository
from propolis.repository.records.marks import add_hold, held, release_holds
from propolis.repository.storage import reserve


def register(app: typer.Typer) -> None:
    """Add `hold`."""
    app.command()(hold)


def register_repository(app: typer.Typer) -> None:
    """Add the commands below `repository`."""
    app.command()(prune)
    app.command()(unlock)


def hold(
    backup: BackupArgument,
    release: Annotated[
        bool, typer.Option("--release", help="Release the backup, so that the retention rules apply to it again")
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", help="Reason for the hold, for people who ask later", metavar="TEXT")
    ] = "",
    identity: IdentityFile = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Keep a backup, whatever the retention rules say.

    Use --release to end this.
    """
    loaded = config_of(config)
    repository = open_repository(loaded, identity)
    remarks: list[str] = []
    if release:
        id = held(repository, backup) or repository.resolve(backup, loaded.name)
        result = HoldResult(id, False, "", release_holds(repository, id))
    else:
        id = repository.resolve(backup, loaded.name, remarks)
        result = HoldResult(id, True, add_hold(repository, id, reason).reason, 0)
    if as_json:
        print_json(result)
    elif not quiet:
        show_hold(result)
        show_findings((), remarks)


def prune(
    plan: PlanOnly = False,
    identity: IdentityFile = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Remove backups that no retention rule keeps.

    Then removes all data that no backup needs. Never removes the newest backup, held backups, or the last ones
    that passed verification. Without the recovery key, only whole packs are removed; with it, mostly unneeded
    packs are repacked as well. Prune can be killed at any moment.
    """
    settings = config_of(config)
    repository = open_repository(settings, identity)
    known = remembered(settings, repository)
    result = prune_repository(repository, settings.retention, settings.name, plan=plan, remembered=known)
    if not plan:
        without = reserve.keep(repository.storage)
        result.remarks += [without] if without and without not in result.remarks else []
    if as_json:
        print_json(result)
    elif not quiet:
        show_prune(result)
    if result.findings:
        raise IntegrityError(
            f"The repository is damaged: {result.findings[0].what}",
            left="Nothing that a backup needs was removed",
            next="Run `propolis repository check`",
        )


def unlock(
    force: Annotated[
        list[str] | None,
        typer.Option("--force", help="Remove this lease even if it is in use; repeatable", metavar="LEASE"),
    ] = None,
    identity: IdentityFile = None,
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show who is using the repository, and remove expired leases.

    Every run holds a lease while it uses the repository, renews it every minute, and removes it at the end. The
    lease of a killed run expires within minutes, so this command is rarely needed. Removing a lease in use with
    --force lets a prune and a backup run at the same time; the run that held it then fails.
    """
    storage = open_repository(config_of(config), identity).storage
    found, removed = unlock_storage(storage, tuple(force or ()), plan=plan)
    result = UnlockResult(plan, tuple(found), tuple(removed))
    if as_json:
        print_json(result)
    elif not quiet:
        show_unlock(result)
