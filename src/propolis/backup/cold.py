"""The cold backup: stop, clone, start, then read the clone while TheHive serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from propolis import clone
from propolis.backup.count import CountDocuments
from propolis.backup.drained import CheckClonedLog
from propolis.backup.manifest import WriteManifest
from propolis.backup.options import BackupOptions
from propolis.backup.part import FinishPart
from propolis.backup.steps import (
    CheckStack,
    CloneTrees,
    DropClones,
    ListBucket,
    OpenRepository,
    StoreAhead,
    StoreTrees,
)
from propolis.command.context import Context
from propolis.command.phases import WRITERS
from propolis.command.reserve import ReleaseSpace, ReserveSpace, reserve_files
from propolis.command.runner import RecoverFirst, run
from propolis.command.services import KeepServices, start_steps, stop_steps
from propolis.config.schema import Config
from propolis.repository import Altered, BackupSummary, Stats
from propolis.run import Observer, Plan, Step
from propolis.stack.cluster import clusters, require_alone
from propolis.stack.database.files import LOG
from propolis.stack.database.service import Database
from propolis.stack.index.service import Index
from propolis.stack.model import bare
from propolis.stack.stack import buckets, folders, instances, services, trees

DEFAULTS = BackupOptions()


@dataclass(frozen=True)
class HostReport:
    """What one of several hosts did, and what went over its link: the data itself never does."""

    host: str
    outage: float | None
    """Seconds from the first stop of one of its services until the last one answered again; None: none was."""
    read: int
    stored: int
    link_bytes_sent: int
    link_bytes_received: int


@dataclass(frozen=True, kw_only=True)
class BackupReport:
    """What a backup did. Seconds are wall time; `downtime` is None when TheHive wasn't running.

    `altered` are files found changed by reading them anew, although their size and times say that they didn't change.
    """

    summary: BackupSummary
    stats: Stats
    downtime: float | None
    cloned_files: int
    bytes_copied_while_down: int
    reread: bool
    altered: Altered
    warnings: tuple[str, ...]
    """What somebody should know of the stack and of this restore point; the manifest holds it, too."""
    hosts: tuple[HostReport, ...] = ()
    """Each of them, where the stack is on several; the rest is of all together."""


def cold_plan(options: BackupOptions, context: Context, *, part: bool = False) -> Plan[Context]:
    """Plan a cold backup of the stack as it is now; `part`: of what of it is on this host. Touches nothing."""
    running = context.services.running()
    kept = trees(context.config)
    places = {tree.name: str(clone.place(tree.path, context.run_id)) for tree in folders(context.config)}
    trials = {tree.name: str(clone.place(tree.path, f"{context.run_id}.trial")) for tree in folders(context.config)}
    reserve = reserve_files(context)
    all_services = services(context.config)
    indices = {service.role for service in instances(context.config) if isinstance(service, Index)}
    steps: list[Step[Context, Any]] = [
        CheckStack(running=running, trials=trials),
        OpenRepository(url=context.config.repository.url),
        *(StoreAhead(tree=tree.name) for tree in buckets(context.config)),
        KeepServices(
            services=running,
            may_be_unhealthy=options.force_unhealthy,
            down=tuple(name for name in all_services if name not in running),
        ),
        ReserveSpace(files=reserve),
        *stop_steps(tuple(name for name in running if name in WRITERS)),
        *(CountDocuments(service=name) for name in running if name in indices),
        *stop_steps(tuple(name for name in running if name not in WRITERS)),
        CloneTrees(places=places, down=all_services),
        *_check_drained(running, clusters(context.config), places),
        *(ListBucket(tree=tree.name) for tree in buckets(context.config)),
        *start_steps(running, clusters(context.config)),
        ReleaseSpace(files=reserve),
        StoreTrees(trees=tuple(tree.name for tree in kept)),
        FinishPart() if part else WriteManifest(),
        DropClones(places=places),
    ]
    return Plan("backup --cold", tuple(steps), given=(options,))


def _check_drained(
    running: tuple[str, ...], clusters: tuple[str, ...], places: Mapping[str, str]
) -> tuple[CheckClonedLog, ...]:
    """Where the database is a node of a cluster."""
    if Database.role not in running or Database.role not in clusters:
        return ()
    return tuple(CheckClonedLog(commitlog=place) for tree, place in places.items() if bare(tree) == LOG)


def back_up(
    config: Config, observer: Observer, recover_first: RecoverFirst, options: BackupOptions = DEFAULTS
) -> BackupReport:
    """Take a cold backup.

    Raises a PropolisError; then every service that ran before runs again, or it says so.
    """
    require_alone(config, "propolis backup --cold")
    context, outcome = run(config, partial(cold_plan, options), observer, recover_first)
    writer, clones = outcome.results[OpenRepository].writer, outcome.results[CloneTrees].reports.values()
    return BackupReport(
        summary=outcome.results[WriteManifest],
        stats=writer.stats,
        downtime=context.services.downtime,
        cloned_files=sum(report.files for report in clones),
        bytes_copied_while_down=sum(report.bytes_copied for report in clones),
        reread=writer.reread,
        altered=writer.altered,
        warnings=tuple(context.warnings),
    )
