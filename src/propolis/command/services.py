"""Steps that stop, start and wait for services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propolis.command import phases
from propolis.command.context import Context
from propolis.command.promise import promise
from propolis.run import Results, Step
from propolis.stack.stack import LABELS, START_WAVES, STOP_ORDER, kind_of


class KeepServices(Step[Context, None], frozen=True, kw_only=True, tag="keep-services"):
    """Promises that the services which run now will run again, whatever happens.

    It stops and starts nothing itself. Being the first step that matters, it is undone last: after everything that
    later steps moved is back in its place.
    """

    turn = "promise"

    services: tuple[str, ...]
    may_be_unhealthy: bool = False
    """TheHive was stopped although it wasn't healthy: then it need not be so after."""
    down: tuple[str, ...] = ()
    """Services that the plan doesn't stop, since they didn't run when it was made: they still must not."""

    def _title(self) -> str:
        names = ", ".join(LABELS[name] for name in self.services) or "none"
        return f"record which services to restart: {names}"

    def promise(self, context: Context) -> Mapping[str, Any]:
        """Have it in the journal in a shape that any version can read."""
        return promise(context.config, self.services)

    def do(self, context: Context, results: Results) -> None:
        """Check that nothing else runs by now. Raises PreflightError."""
        context.services.require_down(self.down)

    def undo(self, context: Context) -> None:
        """Keep the promise."""
        context.services.takes_unhealthy |= self.may_be_unhealthy
        context.services.bring_back(self.services)


class StopService(Step[Context, None], frozen=True, kw_only=True, tag="stop-service"):
    """Stops one service and waits until it is gone. Brought back by KeepServices."""

    service: str

    @property
    def phase(self) -> str:
        """Its service's turn."""
        return phases.stop(self.service)

    def _title(self) -> str:
        return f"{kind_of(self.service).stopping} {LABELS[self.service]}"

    def do(self, context: Context, results: Results) -> None:
        """Stop it."""
        context.services.stop(self.service)


class StartService(Step[Context, None], frozen=True, kw_only=True, tag="start-service"):
    """Launches one service without waiting for it.

    `stop_on_undo`: undoing stops it again, since the data under it is about to be put back.
    """

    service: str
    stop_on_undo: bool = False

    @property
    def phase(self) -> str:
        """Its service's turn."""
        return phases.start(self.service)

    def _title(self) -> str:
        return f"start {LABELS[self.service]}"

    def do(self, context: Context, results: Results) -> None:
        """Start it."""
        context.services.start(self.service)

    def undo(self, context: Context) -> None:
        """Stop it if what lies under it will change."""
        if self.stop_on_undo:
            context.services.stop(self.service)


class WaitForService(Step[Context, None], frozen=True, kw_only=True, tag="wait-for-service"):
    """Waits until a service answers for real."""

    service: str

    @property
    def phase(self) -> str:
        """Its service's turn."""
        return phases.wait(self.service)

    def _title(self) -> str:
        return f"wait for {LABELS[self.service]} ({kind_of(self.service).proof})"

    def do(self, context: Context, results: Results) -> None:
        """Wait."""
        context.services.wait_for(self.service, revive=True)


class AwaitCluster(Step[Context, None], frozen=True, kw_only=True, tag="await-cluster"):
    """Waits until the whole cluster is there, of whose nodes this host has one: TheHive must not start before.

    Undoing and recovery don't wait for it: other hosts may be down, and see to their own nodes.
    """

    service: str

    @property
    def phase(self) -> str:
        """After all nodes of its cluster were started, on every host."""
        return phases.agree(self.service)

    def _title(self) -> str:
        return f"wait for the cluster of {LABELS[self.service]} (every node is up, and they agree)"

    def do(self, context: Context, results: Results) -> None:
        """Wait."""
        context.services.agree(self.service)


SERVICE_STEPS: tuple[type[Step[Context, Any]], ...] = (
    KeepServices,
    StopService,
    StartService,
    WaitForService,
    AwaitCluster,
)


def stop_steps(services: tuple[str, ...]) -> tuple[Step[Context, Any], ...]:
    """Stop these services, whoever needs others first."""
    return tuple(StopService(service=name) for name in STOP_ORDER if name in services)


def start_steps(
    services: tuple[str, ...], clusters: tuple[str, ...], *, stop_on_undo: bool = False
) -> tuple[Step[Context, Any], ...]:
    """Start these services, wave by wave, each wave waiting for the one before.

    `clusters` are those of the stack that are nodes of a cluster: their wave waits for all nodes of it.
    """
    steps: list[Step[Context, Any]] = []
    for wave in START_WAVES:
        wanted = [name for name in wave if name in services]
        steps += [StartService(service=name, stop_on_undo=stop_on_undo) for name in wanted]
        # TheHive first: its downtime ends with its answer, which may come before that of another of its wave.
        steps += [WaitForService(service=name) for name in sorted(wanted, key=lambda name: name != "thehive")]
        steps += [AwaitCluster(service=name) for name in wanted if name in clusters]
    return tuple(steps)
