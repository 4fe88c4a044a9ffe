"""A stack as rules ask it: each question is asked once, however many rules want the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from propolis import clone
from propolis.checks.model import Command
from propolis.clone import Survey
from propolis.command.trials import trial
from propolis.config.schema import Config
from propolis.errors import PreflightError, PropolisError
from propolis.run.journal import journal_folder
from propolis.run.journals import recorded_places
from propolis.stack.database import server as database
from propolis.stack.index import contents as index_contents
from propolis.stack.index import server as index
from propolis.stack.index import writes as index_writes
from propolis.stack.index.contents import IndexInfo
from propolis.stack.model import Facts, Tree
from propolis.stack.stack import answers, services, trees
from propolis.stack.thehive import server as thehive
from propolis.stack.thehive.health import Health, health

PATIENCE = 5.0
"""Seconds a service may take to answer the doctor: it should be up already."""

T = TypeVar("T")


class Once(Generic[T]):
    """A question that is asked once: whoever asks again gets the same answer, or the same error."""

    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._answer: T | None = None
        self._error: PropolisError | None = None
        self._asked = False

    def get(self) -> T:
        """Give the answer; raises the PropolisError that asking raised."""
        if not self._asked:
            self._asked = True
            try:
                self._answer = self._question()
            except PropolisError as error:
                self._error = error
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def known(self) -> T | None:
        """Give the answer, or None where there is none; another rule says why."""
        try:
            return self.get()
        except PropolisError:
            return None


@dataclass(frozen=True)
class Wanted:
    """What is to be written into a folder: bytes, and files and folders."""

    folder: Path
    bytes: int
    entries: int


@dataclass(frozen=True)
class Target:
    """A folder that a restore replaces, and where that is tried: beside it, and under a name of ours in it."""

    folder: Path
    beside: Path
    inside: Path


class Look:
    """One look at a stack, for one command.

    `running` are the services that run (None: all should, which is what the doctor expects). `wait` waits for one of
    them to answer for real, and raises PreflightError; the default is the doctor's, who is impatient. `survey` says
    what cloning a tree would take, `incoming` what a restore brings, `targets` what it replaces (None:
    all folders), `keep_days` for how many days it keeps that. `force_unhealthy`: a TheHive that isn't healthy stops
    nothing. `identity` is a file with the recovery key, for a host whose own key the repository doesn't know yet.
    `file` is the configuration where that isn't the default one: hints name it.
    """

    def __init__(
        self,
        config: Config,
        command: Command = "doctor",
        *,
        running: Iterable[str] | None = None,
        wait: Callable[[str], object] | None = None,
        survey: Callable[[Tree], Survey] | None = None,
        incoming: Iterable[Wanted] | None = None,
        targets: Iterable[Target] | None = None,
        force_unhealthy: bool = False,
        keep_days: int = 0,
        identity: Path | None = None,
        file: Path | None = None,
    ) -> None:
        self.config = config
        self.command = command
        self.running = frozenset(services(config) if running is None else running)
        self.wait = wait or (lambda service: answers(config, service, PATIENCE))
        self.incoming = None if incoming is None else tuple(incoming)
        self.targets = None if targets is None else tuple(targets)
        self.force_unhealthy = force_unhealthy
        self.keep_days = keep_days
        self.identity = identity
        self.file = file
        self.indices = Once(self._indices)
        self.index_blocks = Once(self._index_blocks)
        self.database = Once(self._database)
        self.index = Once(self._index)
        self.thehive = Once(partial(thehive.facts, config.thehive))
        surveyed = survey or partial(_survey, config)
        self.surveys = {tree.name: Once(partial(surveyed, tree)) for tree in folders(config)}

    def asks(self, service: str) -> bool:
        """Whether rules of this service are asked: a command leaves out what doesn't run, and says so."""
        return service in self.running

    def facts(self, service: str) -> Facts | None:
        """What a service of this stack says of itself; None where it doesn't, which another rule says."""
        once: Mapping[str, Once[Any]] = {"database": self.database, "index": self.index, "thehive": self.thehive}
        return once[service].known()

    def health(self) -> Health:
        """Ask how TheHive is. Raises PreflightError if it doesn't answer, or isn't well within some seconds."""
        config = self.config.thehive
        try:
            found = health(config)
        except PreflightError:
            self.wait("thehive")
            return health(config)
        return thehive.answers(config, PATIENCE) if found.state == "error" else found

    def _database(self) -> database.DatabaseFacts:
        assert self.config.cassandra is not None
        return database.facts(self.config.cassandra)

    def _index(self) -> index.IndexFacts:
        assert self.config.elasticsearch is not None
        return index.facts(self.config.elasticsearch)

    def _indices(self) -> list[IndexInfo]:
        assert self.config.elasticsearch is not None
        return index_contents.indices(self.config.elasticsearch)

    def _index_blocks(self) -> tuple[str, ...]:
        assert self.config.elasticsearch is not None
        return index_writes.cluster_blocks(self.config.elasticsearch)


def folders(config: Config) -> tuple[Tree, ...]:
    """The trees that are folders of this host."""
    return tuple(tree for tree in trees(config) if tree.path is not None)


def _survey(config: Config, tree: Tree) -> Survey:
    assert tree.path is not None
    with trial(config.state, tree.path) as place:
        own = clone.names_directly_in(tree.path, recorded_places(journal_folder(config.state)))
        return clone.survey(tree.path, tree.immutable, leave_out=own, kept_empty=tree.kept_empty, trial=place)
