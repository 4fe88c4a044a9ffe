"""A cold backup of a stack on several hosts: each stores its part, and one manifest is written of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec

from propolis.backup.cold import DEFAULTS, BackupReport, HostReport
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
from propolis.hosts.asking import Reach
from propolis.hosts.connect import ask_for_parts, connect
from propolis.hosts.coordination import Coordination, coordinate
from propolis.hosts.on_hosts import HOSTS_STEPS, Given, OnHosts
from propolis.hosts.plan import woven_plan
from propolis.hosts.weave import merged
from propolis.hosts.words import clean
from propolis.link.messages import Part
from propolis.repository import Altered, BackupId, BackupSummary, Facts, Repository, Stats
from propolis.repository.access.leases import Lease
from propolis.repository.write.begin import find_parent
from propolis.repository.write.compose import compose, drop_parts
from propolis.run import Observer, Plan, Results, Step
from propolis.run.step import tag_of

COMMAND = "backup"
"""What the hosts are asked for."""


class Destination:
    """The repository, opened when it is first asked for."""

    def __init__(self, config: Config) -> None:
        self.started = utc_text(utc_now())
        self._config = config

    @cached_property
    def repository(self) -> Repository:
        """What the manifest goes into, and the hosts' parts. Raises RepositoryError."""
        repository = open_repository(self._config)
        remember(self._config, repository)
        return repository

    def find_parent(self, warn: Callable[[str], None]) -> BackupId | None:
        """The backup whose unchanged files needn't be read, on any host."""
        unreadable: list[str] = []
        found = find_parent(self.repository, self._config.name, unreadable)
        for id in unreadable:
            warn(f"Backup {id} can't be read, so this backup is not based on it")
        return None if found is None else found.id


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
        context.completed = f"The backup {summary.id} is complete"
        remember_made(context, to.repository, summary.id)
        # Where a host may not delete, a prune does it.
        drop_parts(to.repository, names)
        return summary

    def summary(self, result: BackupSummary) -> Mapping[str, Any]:
        """Which backup it is."""
        return {"backup": result.id}


def woven_backup_plan(options: BackupOptions, context: Coordination) -> Plan[Coordination]:
    """Have every host plan its part, and weave them. Stops and stores nothing."""
    to = Destination(context.config)
    parent = to.find_parent(context.warn)
    return _weave(connect(context, COMMAND, HostOptions.plain(options), parent), to)


def plan_on_hosts(config: Config, file: Path, options: BackupOptions) -> tuple[tuple[str, ...], Plan[Coordination]]:
    """Ask the hosts what they would do, and weave that. Nothing is changed on any; gives their names, too.

    Raises one error that names every host that can't take part, and why.
    """
    parts = ask_for_parts(Reach(config, file), COMMAND, HostOptions.plain(options))
    return tuple(parts), _weave(parts, Destination(config))


def _weave(parts: Mapping[str, Part], to: Destination) -> Plan[Coordination]:
    host = next(iter(parts))
    own: list[Step[Coordination, Any]] = [TakeLease(host=host), RecordParts(host=host, hosts=tuple(parts))]
    return woven_plan("backup --cold", parts, own, (to,))


def back_up_hosts(
    config: Config,
    file: Path,
    observer: Observer,
    recover_first: RecoverFirst,
    options: BackupOptions = DEFAULTS,
) -> BackupReport:
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
    return BackupReport(
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
