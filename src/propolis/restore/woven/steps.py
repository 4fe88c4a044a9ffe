"""What the coordinator itself does in a restore on several hosts, or its undo: it gives the verdict."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from propolis.errors import PreflightError, PropolisError
from propolis.hosts.coordination import Coordination
from propolis.hosts.on_hosts import HOSTS_STEPS
from propolis.hosts.weave import merged
from propolis.hosts.words import HostLost
from propolis.repository import Repository
from propolis.repository.access.conditional import IGNORED, creates_once
from propolis.repository.records.verdicts import ask, give
from propolis.restore.hosts.verdict import open_shared
from propolis.run import Results, Step
from propolis.run.step import tag_of


@dataclass(frozen=True)
class Shared:
    """The repository that all hosts reach, as the coordinator found it before anything began."""

    repository: Repository


class CheckVerdict(Step[Coordination, None], frozen=True, kw_only=True, tag="check-verdict"):
    """Checks that the repository can hold the verdict: the first one counts, so it must create, and never replace."""

    host: str

    turn = "check"

    needs = (Shared,)

    def _title(self) -> str:
        return merged({self.host: "check that the repository takes the verdict of all hosts"})

    def do(self, context: Coordination, results: Results) -> None:
        """Raise PreflightError if it doesn't."""
        repository = results.given(Shared).repository
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


def verdict_steps(hosts: Sequence[str]) -> list[Step[Coordination, Any]]:
    """The coordinator's own steps; it is the first of the hosts."""
    return [CheckVerdict(host=hosts[0]), PreparedOnHosts(hosts=tuple(hosts)), GiveVerdict(host=hosts[0])]


@contextlib.contextmanager
def explained(context: Callable[[], Coordination | None]) -> Iterator[None]:
    """For a `with` block around a run: one that lost a host after the verdict says that nothing is undone."""
    try:
        yield
    except HostLost as lost:
        run = context()
        if run is None or not _is_kept(run):
            raise
        raise PropolisError(
            lost.what,
            left="All hosts keep what they have done; that one finishes its part by itself",
            next=f"{lost.next.rstrip('.')}. `propolis recover` finishes it at once",
        ) from lost


def _is_kept(context: Coordination) -> bool:
    with contextlib.suppress(PropolisError):
        return ask(open_shared(context), context.run_id) == "keep"
    return False


_STEPS: tuple[type[Step[Coordination, Any]], ...] = (CheckVerdict, PreparedOnHosts, GiveVerdict)

WOVEN_RESTORE_STEPS = HOSTS_STEPS | {tag_of(step): step for step in _STEPS}
"""Every step that the journal of a coordinator's restore may name."""
