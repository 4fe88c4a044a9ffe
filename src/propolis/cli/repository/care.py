"""`repository check` and `repository repair`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propolis.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    AsOf,
    ConfigFile,
    IdentityFile,
    PlanOnly,
    Quiet,
    config_of,
    moment_of,
    observer,
)
from propolis.command.known import remembered
from propolis.command.stores import keys_of, open_bucket, open_repository
from propolis.config.schema import Config
from propolis.errors import IncompleteError, IntegrityError, RepositoryError
from propolis.report.json import print_json
from propolis.report.repository import care
from propolis.report.units import about, counted
from propolis.repository import BackupId, Location, ObjectSource, Observer, Repository, Stats
from propolis.repository.access.leases import ReadingLease
from propolis.repository.crypto.recipients import AnyKey
from propolis.repository.maintenance.check import ReadData, check
from propolis.repository.maintenance.repair import repair
from propolis.repository.maintenance.salvage import Sources
from propolis.repository.storage.base import Storage
from propolis.repository.storage.opening import open_storage
from propolis.run import Observer as RunObserver
from propolis.stack.model import FolderTree
from propolis.stack.stack import trees


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command("check")(check_repository)
    app.command("repair")(repair_repository)


def check_repository(
    read_data: Annotated[
        str,
        typer.Option(
            "--read-data",
            help="Also read packs: all of them, a random share (=10%), or one of several fixed parts (=2/7)",
            metavar="[AMOUNT]",
        ),
    ] = "",
    identity: IdentityFile = None,
    at: AsOf = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check every object in the repository.

    Each finding names the backups and files that it affects.
    """
    amount = ReadData.parse(read_data) if read_data else None
    moment = moment_of(at)
    settings = config_of(config)
    run_observer = observer(quiet=quiet, as_json=as_json)
    storage = open_storage(Location.from_config(settings.repository).as_of(moment))
    keys = keys_of(settings, identity)
    with ReadingLease(storage) as lease:
        if lease.warning:  # at worst a prune meanwhile causes findings
            run_observer.note(lease.warning)
        known = _remembered(settings, storage, keys) if moment is None else {}
        result = check(storage, keys, read_data=amount, observer=_told(run_observer), remembered=known)
    if as_json:
        print_json(result)
    elif not quiet or not result.ok:
        care.show_check(result)
    if not result.ok:
        raise IntegrityError(
            f"The repository {result.place} is damaged ({counted(len(result.findings), 'problem')}): "
            f"{about(result.findings[0].what, result.findings[0].object)}",
            left="The repository was left as it is",
            next="Run `propolis repository repair --plan`, and take a new backup",
        )


def repair_repository(
    from_stack: Annotated[
        bool,
        typer.Option(
            "--from-stack/--not-from-stack", help="Look for lost pieces in the stack's own files (they are only read)"
        ),
    ] = True,
    read_data: Annotated[
        str,
        typer.Option(
            "--read-data",
            help="Read these packs to find damage: all, a random share (10%), a part (2/7), or none, which only "
            "finds missing and truncated ones",
            metavar="AMOUNT",
        ),
    ] = "all",
    plan: PlanOnly = False,
    identity: IdentityFile = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Recover lost data, and quarantine damaged objects.

    Deletes nothing, and reports what remains lost. Lost pieces are recovered from the stack's own files, and with
    the recovery key also from damaged packs and from packs whose index was lost. It can be killed at any time and
    started again.
    """
    amount = None if read_data == "none" else ReadData.parse(read_data)
    settings = config_of(config)
    sources = sources_of(settings) if from_stack else {}
    repository = open_repository(settings, identity)
    with repository.lease("shared" if plan else "exclusive") as lease:
        result = repair(
            repository,
            sources,
            plan=plan,
            read_data=amount,
            observer=_told(observer(quiet=quiet, as_json=as_json)),
            lease=lease,
            remembered=remembered(settings, repository),
        )
    if as_json:
        print_json(result)
    elif not quiet or not result.ok:
        care.show_repair(result)
    if not result.ok:
        raise IncompleteError(
            f"{counted(len(result.losses), 'backup')} can't be restored completely"
            if result.losses
            else f"{counted(len(result.unreadable), 'object')} can't be read from the storage",
            left="Damaged objects were moved to quarantine/" if result.quarantined and not plan else "",
            next="Take a new backup now. A copy of the repository may still have the lost data",
        )


def _remembered(config: Config, storage: Storage, keys: list[AnyKey]) -> dict[BackupId, str]:
    """What this host knows must be there; nothing when the repository can't even be opened, as the check will say."""
    try:
        return remembered(config, Repository(storage, keys))
    except (IntegrityError, RepositoryError):
        return {}


def sources_of(config: Config) -> Sources:
    """Where the stack's trees are, by name."""
    found: dict[str, Path | ObjectSource] = {}
    for tree in trees(config):
        if isinstance(tree, FolderTree):
            found[tree.name] = tree.path
        else:
            found[tree.name] = open_bucket(tree.bucket)
    return found


def _told(observer: RunObserver) -> Observer:
    def told(stats: Stats) -> None:
        observer.progress(stats.read, None, "bytes")

    return told
