"""A restore of a stack on several hosts: each restores its part, then one verdict keeps or undoes all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from propolis.command.runner import RecoverFirst
from propolis.command.stores import open_repository
from propolis.config.schema import Config
from propolis.errors import IntegrityError, PreflightError, PropolisError
from propolis.filesystem.unkept import Tally
from propolis.hosts.connect import connect, let_go
from propolis.hosts.coordination import Coordination, coordinate
from propolis.hosts.on_hosts import HOSTS_STEPS, Given, OnHosts
from propolis.hosts.plan import woven_plan
from propolis.hosts.weave import merged
from propolis.hosts.words import clean
from propolis.link.messages import Part
from propolis.repository import BackupId, Manifest, Repository
from propolis.repository.access.conditional import IGNORED, creates_once
from propolis.repository.records.verdicts import ask, give
from propolis.restore.cold import RestoreReport
from propolis.restore.former import KeptReport
from propolis.restore.hosts.names import matched
from propolis.restore.hosts.verdict import open_shared, verdict_on
from propolis.restore.review import Review
from propolis.restore.steps import HostRestored
from propolis.restore.woven.host import HostOptions, review_of
from propolis.run import Observer, Plan, Results, Step
from propolis.run.journal import new_run_id
from propolis.run.step import tag_of
from propolis.stack.stack import STORES

COMMAND = "restore"
"""What the hosts are asked for."""


@dataclass(frozen=True, kw_only=True)
class WovenRequest:
    """What is to be restored onto all hosts of a stack. `file` is the configuration of the coordinator."""

    config: Config
    file: Path
    backup: str
    renames: Mapping[str, str] = field(default_factory=dict)
    """This stack's host → the backup's whose data it gets, where they are called otherwise."""
    stores: tuple[str, ...] = ()
    set_password: bool = False
    keep_days: int = 0
    replace_indices: tuple[str, ...] = ()
    replace_keyspaces: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WovenRestoreReport(RestoreReport):
    """What a restore of several hosts did: all of them together, and each."""

    hosts: tuple[tuple[str, HostRestored], ...]


@dataclass(frozen=True)
class Looked:
    """What a restore would do: its plan, and what each host would lose."""

    backup: BackupId
    plan: Plan[Coordination]
    reviews: Mapping[str, Review]
    """By host."""
    matches: Mapping[str, str]
    """This stack's host → what it was called in the backup."""
    remarks: tuple[str, ...]
    """What should be said of the logins, with the host's name."""


@dataclass(frozen=True)
class _Source:
    repository: Repository
    manifest: Manifest


class CheckVerdict(Step[Coordination, None], frozen=True, kw_only=True, tag="check-verdict"):
    """Checks that the repository can hold the verdict: the first one counts, so it must create, and never replace."""

    host: str

    turn = "check"

    needs = (_Source,)

    def _title(self) -> str:
        return merged({self.host: "check that the repository takes the verdict of all hosts"})

    def do(self, context: Coordination, results: Results) -> None:
        """Raise PreflightError if it doesn't."""
        repository = results.given(_Source).repository
        if ask(repository, context.run_id) is not None or not creates_once(repository.storage):
            raise PreflightError(
                f"No verdict of several hosts can be kept at {repository.storage.place}: {IGNORED}",
                left="Nothing was changed",
                next="Use a storage that respects it (AWS, MinIO, versitygw and SeaweedFS do), or update the server",
            )


class PreparedOnHosts(Step[Coordination, None], frozen=True, kw_only=True, tag="prepared-on-hosts"):
    """Every host's part is ready. From here on what becomes of them is decided in the repository alone."""

    hosts: tuple[str, ...]

    turn = "prepare"

    prepares = True

    def _title(self) -> str:
        return merged(
            dict.fromkeys(self.hosts, "wait until all are ready (from here on all keep the restore, or none)")
        )

    def do(self, context: Coordination, results: Results) -> None:
        """Nothing: the hosts' journals hold it."""


class GiveVerdict(Step[Coordination, None], frozen=True, kw_only=True, tag="give-verdict"):
    """Says in the repository that the restore is kept. A host that lost touch may have said otherwise before."""

    host: str

    turn = "verdict"

    commits = True

    def _title(self) -> str:
        return merged({self.host: "record in the repository that all hosts keep the restore"})

    def do(self, context: Coordination, results: Results) -> None:
        """Give it. Raises PropolisError if it is undone, RepositoryError if that can't be determined."""
        if give(open_shared(context), context.run_id, "keep") != "keep":
            raise PropolisError(
                "A host that lost touch has undone the restore, so all hosts undo it",
                next="Check that host and the network between, then restore again",
            )


def look(request: WovenRequest, observer: Observer) -> Looked:
    """Have every host say what it would do, and what it would lose; then let all of them go. Changes nothing."""
    with Coordination(request.config, request.file, observer, new_run_id()) as context:
        source, plan, parts = _planned(request, context, review=True)
        let_go(context)
        matches = matched(source.manifest.header, context.names, request.renames, request.stores)
    reviews = {host: review_of(host, part.facts) for host, part in parts.items()}
    remarks = tuple(
        f"{host}: {clean(text)}" for host, part in parts.items() for text in _texts(part.facts.get("logins"))
    )
    return Looked(source.manifest.id, plan, reviews, matches, remarks)


def restore_hosts(request: WovenRequest, observer: Observer, recover_first: RecoverFirst) -> WovenRestoreReport:
    """Restore onto all hosts.

    Raises a PropolisError; then the former data and services are back on every host, or it says on which that isn't
    known. InDoubt: every host serves the restored data, keeps the former, and asks on.
    """

    def plan(context: Coordination) -> Plan[Coordination]:
        return _planned(request, context)[1]

    context, outcome = coordinate(request.config, request.file, plan, observer, recover_first, verdict=verdict_on)
    given = outcome.results.all(OnHosts)
    reports = restored_by(given)
    each = reports.values()
    return WovenRestoreReport(
        backup=outcome.results.given(_Source).manifest.id,
        stores=tuple(store for store in STORES if any(store in one.stores for one in each)),
        files=sum(one.files for one in each),
        bytes=sum(one.bytes for one in each),
        downtime=next((one.downtime for one in each if one.downtime is not None), None),
        laid_beside=tuple(f"{host}:{clean(folder)}" for host, one in reports.items() for folder in one.laid_beside),
        closed="; ".join(f"{host}: {clean(one.closed)}" for host, one in reports.items() if one.closed),
        warnings=tuple(f"{host}: {clean(text)}" for host, one in reports.items() for text in one.warnings),
        run=context.run_id,
        kept=_kept(given),
        passwords_set=tuple(f"{host}: {clean(text)}" for host, one in reports.items() for text in one.passwords_set),
        unkept=tuple(Tally(kind for one in each for kind in one.unkept).all()),
        never_kept=tuple(Tally(kind for one in each for kind in one.never_kept).all()),
        hosts=tuple(reports.items()),
    )


def restored_by(given: Sequence[Given]) -> dict[str, HostRestored]:
    """What each host says of its part. Raises IntegrityError for what isn't understood."""
    found: dict[str, HostRestored] = {}
    for results in given:
        for host, result in results.items():
            if "never_kept" in result:
                try:
                    found[host] = msgspec.convert(result, HostRestored)
                except msgspec.ValidationError as error:
                    raise IntegrityError(
                        f"What {host} says of its part is not understood: {clean(str(error))}",
                        left="The restore itself is complete",
                    ) from None
    return found


def _planned(
    request: WovenRequest, context: Coordination, *, review: bool = False
) -> tuple[_Source, Plan[Coordination], Mapping[str, Part]]:
    config = request.config
    repository = open_repository(config, config.restore.identity)
    remarks: list[str] = []
    manifest = repository.manifest(repository.resolve(request.backup, config.name, remarks, sure=True))
    for remark in [*(finding.what for finding in repository.damaged_rings), *remarks]:
        context.observer.note(remark)
    options = HostOptions(
        backup=manifest.id,
        hosts=matched(manifest.header, context.names, request.renames, request.stores),
        stores=request.stores,
        set_password=request.set_password,
        keep_days=request.keep_days,
        replace_indices=request.replace_indices,
        replace_keyspaces=request.replace_keyspaces,
        review=review,
    )
    parts = connect(context, COMMAND, msgspec.to_builtins(options), None)
    own: list[Step[Coordination, Any]] = [
        CheckVerdict(host=context.names[0]),
        PreparedOnHosts(hosts=tuple(parts)),
        GiveVerdict(host=context.names[0]),
    ]
    source = _Source(repository, manifest)
    return source, woven_plan(COMMAND, parts, own, (source,)), parts


def _kept(given: Sequence[Given]) -> KeptReport | None:
    """What all hosts together keep of what was replaced."""
    found = [result for results in given for result in results.values() if set(result) == {"files", "bytes", "until"}]
    try:
        kept = [msgspec.convert(one, KeptReport) for one in found]
    except msgspec.ValidationError:
        return None
    if not kept:
        return None
    return KeptReport(sum(one.files for one in kept), sum(one.bytes for one in kept), min(one.until for one in kept))


def _texts(found: object) -> list[str]:
    return [text for text in found if isinstance(text, str)] if isinstance(found, list | tuple) else []


_STEPS: tuple[type[Step[Coordination, Any]], ...] = (CheckVerdict, PreparedOnHosts, GiveVerdict)

WOVEN_RESTORE_STEPS = HOSTS_STEPS | {tag_of(step): step for step in _STEPS}
"""Every step that the journal of a coordinator's restore may name."""
