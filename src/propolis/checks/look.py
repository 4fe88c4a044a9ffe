"""A stack as rules ask it: each question is asked once, however many rules want the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from propolis import clone
from propolis.checks.trials import trial
from propolis.clone import Survey
from propolis.config.schema import Config
from propolis.platform import open_platform
from propolis.run.journal import journal_folder
from propolis.run.journals import recorded_places
from propolis.stack.model import Facts, FolderTree
from propolis.stack.rules import Command, Once
from propolis.stack.stack import answers, folders, instances, services

PATIENCE = 5.0
"""Seconds a service may take to answer the doctor: it should be up already."""


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
        survey: Callable[[FolderTree], Survey] | None = None,
        incoming: Iterable[Wanted] | None = None,
        targets: Iterable[Target] | None = None,
        force_unhealthy: bool = False,
        keep_days: int = 0,
        identity: Path | None = None,
        file: Path | None = None,
    ) -> None:
        self.config = config
        self.command = command
        self.services = {service.role: service for service in instances(config)}
        self.running = frozenset(services(config) if running is None else running)
        self.wait = wait or (lambda service: answers(config, service, PATIENCE))
        self.incoming = None if incoming is None else tuple(incoming)
        self.targets = None if targets is None else tuple(targets)
        self.force_unhealthy = force_unhealthy
        self.keep_days = keep_days
        self.identity = identity
        self.file = file
        surveyed = survey or partial(_survey, config)
        self.surveys = {tree.name: Once(partial(surveyed, tree)) for tree in folders(config)}

    def asks(self, service: str) -> bool:
        """Whether rules of this service are asked: a command leaves out what doesn't run, and says so."""
        return service in self.running

    def has(self, service: str) -> bool:
        """Whether the platform knows it."""
        return service in open_platform(self.config.platform).services()

    def facts(self, service: str) -> Facts | None:
        """What a service of this stack says of itself; None where it doesn't, which another rule says."""
        return self.services[service].told.known()


def _survey(config: Config, tree: FolderTree) -> Survey:
    with trial(config.state, tree.path) as place:
        own = clone.names_directly_in(tree.path, recorded_places(journal_folder(config.state)))
        return clone.survey(tree.path, tree.immutable, leave_out=own, kept_empty=tree.kept_empty, trial=place)
