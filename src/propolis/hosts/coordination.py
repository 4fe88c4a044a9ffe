"""What the steps of a coordinator's plan work with: the hosts of the run, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from propolis.command.context import Context
from propolis.command.runner import RecoverFirst, run_in
from propolis.config.schema import Config
from propolis.errors import PropolisError
from propolis.hosts.asking import Reach, coordinator_state
from propolis.hosts.hosts import Hosts
from propolis.hosts.lost import Return, see_back
from propolis.link.messages import Ask, FromAgent, ToAgent
from propolis.link.program import Program
from propolis.run import Observer, Outcome, Plan
from propolis.run.execution import Verdict
from propolis.run.journal import journal_file, journal_folder


class Coordination(Context):
    """A run on several hosts. `file` is the coordinator's configuration, which its own host's agent reads, too.

    `is_recovery`: the run's own process is gone, and so are its links. Then hosts are asked to recover, all at once.
    """

    def __init__(
        self, config: Config, file: Path, observer: Observer, run_id: str, *, is_recovery: bool = False
    ) -> None:
        super().__init__(config, observer, run_id)
        self.is_recovery = is_recovery
        self.owed: set[str] = set()
        """Hosts that had promised to bring services back."""
        self.failed: set[str] = set()
        """Hosts that could not undo something: their watchdogs try on."""
        self.completed = ""
        """What exists from the commit point on, whatever becomes of the hosts."""
        self.hosts = self.resources.enter_context(Hosts(observer))
        self._reach = Reach(config, file)
        self._back: dict[str, PropolisError | None] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What the hosts are called, the coordinator's own first."""
        return self._reach.names

    def open_link(self, host: str) -> Program[ToAgent, FromAgent]:
        """Start what leads to a host's agent. Raises PropolisError."""
        return self._reach.open_link(host)

    def question(self, host: str, question: str) -> Ask:
        """What asks a host something that needs no plan."""
        return self._reach.question(host, question)

    def see_back(self, hosts: Iterable[str]) -> list[PropolisError]:
        """Have hosts recover that can't be told what to undo; give why some could not be seen to. Asks each once."""
        wanted = [name for name in hosts if name not in self._back]
        if wanted:
            with ThreadPoolExecutor(len(wanted)) as pool:
                self._back |= dict(zip(wanted, pool.map(self._see_back, wanted), strict=True))
        return [error for name in hosts if (error := self._back[name]) is not None]

    def _otherwise(self, host: str) -> str:
        journal = journal_file(journal_folder(coordinator_state(self.config)), self.run_id)
        return f"If {host} is gone for good, move {journal} away"

    def _see_back(self, host: str) -> PropolisError | None:
        lost = next((one for one in self.hosts.all if one.name == host), None)
        try:
            see_back(
                Return(
                    host=host,
                    open_link=self.open_link,
                    question=self.question(host, "recover"),
                    silence=self.config.silence,
                    since=None if lost is None else lost.heard,
                    start=self.config.timeouts.start,
                    is_owed=host in self.owed,
                    otherwise=self._otherwise(host) if self.is_recovery else "",
                ),
                self.observer,
            )
        except PropolisError as error:
            return error
        return None


def coordinate(
    config: Config,
    file: Path,
    make_plan: Callable[[Coordination], Plan[Coordination]],
    observer: Observer,
    recover_first: RecoverFirst,
    verdict: Verdict[Coordination] | None = None,
) -> tuple[Coordination, Outcome]:
    """Run a plan on all hosts, with lock and journal of the coordinator's own: each host's agent has its own, too.

    `verdict` is asked where a plan that has prepared something fails.
    """

    def open_context(observer: Observer, run_id: str) -> Coordination:
        return Coordination(config, file, observer, run_id)

    facts = {"config": config.model_dump(mode="json"), "coordinator": str(file.absolute())}
    return run_in(coordinator_state(config), open_context, make_plan, observer, recover_first, facts, verdict)
