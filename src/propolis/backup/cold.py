"""The cold backup: stop, clone, start, then read the clone while TheHive serves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from propolis import clone
from propolis.backup.context import BACKGROUND, BackupContext
from propolis.backup.steps import (
    CheckStack,
    CloneTrees,
    CountDocuments,
    DropClones,
    ListBucket,
    OpenRepository,
    StoreAhead,
    StoreTrees,
    WriteManifest,
)
from propolis.command.reserve import ReleaseSpace, ReserveSpace, reserve_files
from propolis.command.runner import RecoverFirst, run
from propolis.command.services import KeepServices, start_steps, stop_steps
from propolis.config.schema import Config
from propolis.repository import Altered, BackupSummary, Limits, Stats
from propolis.run import Observer, Plan, Step
from propolis.stack.model import services, trees


@dataclass(frozen=True)
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


def cold_plan(context: BackupContext) -> Plan[BackupContext]:
    """Plan a cold backup of the stack as it is now. Touches nothing."""
    running = context.running()
    kept = trees(context.config)
    places = {tree.name: str(clone.place(tree.path, context.run_id)) for tree in kept if tree.path is not None}
    trials = {
        tree.name: str(clone.place(tree.path, f"{context.run_id}.trial")) for tree in kept if tree.path is not None
    }
    reserve = reserve_files(context)
    all_services = services(context.config)
    steps: list[Step[BackupContext]] = [
        CheckStack(running=running, trials=trials),
        OpenRepository(url=context.config.repository.url),
        *(StoreAhead(tree=tree.name) for tree in kept if tree.bucket is not None),
        KeepServices(
            services=running,
            may_be_unhealthy=context.force_unhealthy,
            down=tuple(name for name in all_services if name not in running),
        ),
        ReserveSpace(files=reserve),
        *stop_steps(tuple(name for name in running if name == "thehive")),
        *((CountDocuments(),) if "index" in running else ()),
        *stop_steps(tuple(name for name in running if name != "thehive")),
        CloneTrees(places=places, down=all_services),
        *(ListBucket(tree=tree.name) for tree in kept if tree.bucket is not None),
        *start_steps(running),
        ReleaseSpace(files=reserve),
        StoreTrees(trees=tuple(tree.name for tree in kept)),
        WriteManifest(),
        DropClones(places=places),
    ]
    return Plan("backup --cold", tuple(steps))


def back_up(
    config: Config,
    observer: Observer,
    recover_first: RecoverFirst,
    limits: Limits = BACKGROUND,
    *,
    reread: bool = False,
    force_unhealthy: bool = False,
) -> BackupReport:
    """Take a cold backup that takes no more than `limits` of the host; `reread`: read all files, changed or not.

    `force_unhealthy`: even if TheHive isn't healthy; it need not be so after it either.
    Raises a PropolisError; then every service that ran before runs again, or it says so.
    """
    make_context = partial(BackupContext, limits=limits, reread=reread, force_unhealthy=force_unhealthy)
    context, _ = run(config, make_context, cold_plan, observer, recover_first)
    assert context.summary is not None
    assert context.writer is not None
    return BackupReport(
        summary=context.summary,
        stats=context.writer.stats,
        downtime=context.downtime,
        cloned_files=sum(report.files for report in context.clones.values()),
        bytes_copied_while_down=sum(report.bytes_copied for report in context.clones.values()),
        reread=context.writer.reread,
        altered=context.writer.altered,
        warnings=tuple(context.warnings),
    )
