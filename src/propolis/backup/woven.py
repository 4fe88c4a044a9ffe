"""A cold backup of a stack on several hosts: each stores its part, and one manifest is written of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from propolis.backup.cold import DEFAULTS, BackupReport
from propolis.backup.host import HostOptions
from propolis.backup.manifest import remember_made
from propolis.backup.options import BackupOptions
from propolis.backup.part import PartReport
from propolis.clock import utc_now, utc_text
from propolis.command.known import remember
from propolis.command.runner import RecoverFirst
from propolis.command.stores import open_repository
from propolis.config.schema import Config
from propolis.errors import IntegrityError
from propolis.hosts.connect import connect
from propolis.hosts.coordination import Coordination, coordinate
from propolis.hosts.on_hosts import HOSTS_STEPS, Given, OnHosts
from propolis.hosts.plan import woven_plan
from propolis.hosts.weave import merged
from propolis.hosts.words import clean
from propolis.repository import Altered, BackupId, BackupSummary, Facts, Repository, Stats
from propolis.repository.access.leases import Lease
from propolis.repository.write.begin import find_parent
from propolis.repository.write.compose import compose, drop_parts
from propolis.run import Observer, Plan, Results, Step
from propolis.run.step import tag_of

COMMAND = "backup"
"""What the hosts are asked for."""


@dataclass(frozen=True)
class Destination:
    """The repository, as the coordinator found it before anything began."""

    repository: Repository
    parent: BackupId | None
    """The backup whose unchanged files needn't be read, on any host."""
    started: str


class TakeLease(Step[Coordination, Lease], frozen=True, kw_only=True, tag="take-lease"):
    """Takes the coordinator's own lease: nothing that a part refers to is pruned before the manifest is written."""

    host: str

    turn = "open"

    needs = (Destination,)

    def _title(self) -> str:
        return merged({self.host: "open the repository and take a lease for the manifest"})

    def do(self, context: Coordination, results: Results) -> Lease:
        """Take it until the run ends."""
        return context.resources.enter_context(results.given(Destination).repository.lease("shared"))


class RecordParts(Step[Coordination, BackupSummary], frozen=True, kw_only=True, tag="record-parts"):
    """Writes one manifest of the parts of all hosts: from here on the backup exists."""

    host: str
    hosts: tuple[str, ...]

    turn = "record"

    commits = True

    needs = (Destination, TakeLease, OnHosts)

    def _title(self) -> str:
        what = f"write the manifest from {len(self.hosts)} parts (from here on the backup exists)"
        return merged({self.host: what})

    def do(self, context: Coordination, results: Results) -> BackupSummary:
        """Commit. Raises IntegrityError unless there is one part of each host, whole and genuine."""
        to, reports = results.given(Destination), reports_of(results.all(OnHosts))
        names = [report.part for report in reports.values()]
        facts = Facts(
            kind="cold",
            started=to.started,
            services={},
            facts={"downtime_seconds": downtime_of(reports), "warnings": context.warnings},
        )
        stack = context.config.name
        summary = compose(to.repository, stack, context.run_id, names, self.hosts, facts, results[TakeLease])
        remember_made(context, to.repository, summary.id)
        # Where a host may not delete, a prune does it.
        drop_parts(to.repository, names)
        return summary

    def summary(self, result: BackupSummary) -> Mapping[str, Any]:
        """Which backup it is."""
        return {"backup": result.id}


@dataclass(frozen=True)
class HostReport:
    """What one host did, and what went over its link: the data itself never does."""

    host: str
    outage: float | None
    """Seconds from the first stop of one of its services until the last one answered again."""
    read: int
    stored: int
    link_bytes_sent: int
    link_bytes_received: int


@dataclass(frozen=True, kw_only=True)
class WovenReport(BackupReport):
    """What a backup of several hosts did: all of them together, and each."""

    hosts: tuple[HostReport, ...]


def woven_backup_plan(options: BackupOptions, context: Coordination) -> Plan[Coordination]:
    """Have every host plan its part, and weave them. Stops and stores nothing."""
    config = context.config
    repository = open_repository(config)
    remember(config, repository)
    unreadable: list[str] = []
    found = find_parent(repository, config.name, unreadable)
    for id in unreadable:
        context.warn(f"Backup {id} can't be read, so this backup is not based on it")
    to = Destination(repository, None if found is None else found.id, utc_text(utc_now()))
    parts = connect(context, COMMAND, msgspec.to_builtins(HostOptions.of(options)), to.parent)
    own: list[Step[Coordination, Any]] = [
        TakeLease(host=context.names[0]),
        RecordParts(host=context.names[0], hosts=tuple(parts)),
    ]
    return woven_plan("backup --cold", parts, own, (to,))


def back_up_hosts(
    config: Config,
    file: Path,
    observer: Observer,
    recover_first: RecoverFirst,
    options: BackupOptions = DEFAULTS,
) -> WovenReport:
    """Take a cold backup of a stack on several hosts; `file` is the configuration of the coordinator.

    Raises a PropolisError; then every service that ran before runs again, or it says so and which host is concerned.
    """
    plan = partial(woven_backup_plan, options)
    context, outcome = coordinate(config, file, plan, observer, recover_first)
    reports = reports_of(outcome.results.all(OnHosts))
    stats, altered = Stats(), Altered()
    for report in reports.values():
        counts = ("files", "bytes", "unchanged", "read", "new", "stored", "packs")
        stats.add(**{name: getattr(report, name) for name in counts})
        altered.count += report.altered
        altered.named += map(clean, report.altered_named)
    summary = outcome.results[RecordParts]
    return WovenReport(
        summary=summary,
        stats=stats,
        downtime=downtime_of(reports),
        cloned_files=sum(report.cloned_files for report in reports.values()),
        bytes_copied_while_down=sum(report.bytes_copied for report in reports.values()),
        reread=any(report.reread for report in reports.values()),
        altered=altered,
        warnings=tuple(map(clean, summary.header.facts.get("warnings", ()))),
        hosts=tuple(
            HostReport(
                host=host.name,
                outage=reports[host.name].outage,
                read=reports[host.name].read,
                stored=reports[host.name].stored,
                link_bytes_sent=host.link.sent,
                link_bytes_received=host.link.received,
            )
            for host in context.hosts.all
        ),
    )


def reports_of(given: Sequence[Given]) -> dict[str, PartReport]:
    """What each host says of its finished part. Raises IntegrityError for what isn't understood."""
    found: dict[str, PartReport] = {}
    for results in given:
        for host, result in results.items():
            if "part" in result:
                try:
                    found[host] = msgspec.convert(result, PartReport)
                except msgspec.ValidationError as error:
                    raise IntegrityError(
                        f"What {host} says of its part is not understood: {clean(str(error))}",
                        left="No backup was recorded",
                    ) from None
    return found


def downtime_of(reports: Mapping[str, PartReport]) -> float | None:
    """TheHive's, which one host tells."""
    return next((report.downtime for report in reports.values() if report.downtime is not None), None)


_STEPS: tuple[type[Step[Coordination, Any]], ...] = (TakeLease, RecordParts)

WOVEN_STEPS = HOSTS_STEPS | {tag_of(step): step for step in _STEPS}
"""Every step that the journal of a coordinator may name."""
