"""Cortex, as a service of the stack. Its index is TheHive's, or a service of its own (`propolis.stack.index`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from propolis.config.schema import Config, CortexConfig
from propolis.config.secrets import Login
from propolis.stack.asking.retry import Alive
from propolis.stack.cortex import server
from propolis.stack.model import FolderTree, Service, Tree, nothing_immutable
from propolis.stack.rules import Asking, Check, Rule, supported

SUPPORTED = {"cortex": ("3", "4")}


class Cortex(Service[server.CortexFacts]):
    """Cortex on this host.

    TheHive doesn't need it to start: it asks Cortex when there is something to analyze. So the two start side by
    side, and TheHive, which alone gives it work, stops first.
    """

    role = "cortex"
    label = "Cortex"
    needs = ("index", "cortex-index")
    proof = "/api/status"
    optional = "cortex"
    names = ("files/cortex-jobs", "config/cortex")
    same_major = False  # it migrates the index of an older release itself

    def __init__(self, section: CortexConfig) -> None:
        super().__init__()
        self.section = section

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The section `cortex`, where there is one."""
        return None if config.cortex is None else cls(config.cortex)

    @property
    def address(self) -> str:
        """Its URL."""
        return self.section.url

    def trees(self) -> tuple[Tree, ...]:
        """Folders of jobs, where they have one of their own, and configuration: few files, edited in place."""
        configuration = FolderTree("config", "config/cortex", self.role, nothing_immutable, self.section.config)
        if self.section.jobs is None:
            return (configuration,)
        jobs = FolderTree("files", "files/cortex-jobs", self.role, nothing_immutable, self.section.jobs)
        return (jobs, configuration)

    def answers(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> None:
        """Wait until it answers, and takes the API key; it has no login but the configured one."""
        server.answers(self.section, timeout, alive)

    def facts(self) -> server.CortexFacts:
        """Its version."""
        return server.facts(self.section)

    def rules(self) -> tuple[Rule[Asking], ...]:
        """Whether it answers, in a version that is known."""
        return (
            Rule("cortex", self._answers, stops=("doctor", "backup"), warns=("restore",)),
            Rule("cortex version", self._version, stops=("doctor", "backup"), warns=("restore",)),
        )

    def _answers(self, look: Asking) -> Iterator[Check]:
        if look.asks(self.role):
            look.wait(self.role)
            self.told.get()
            proof = "and takes the API key" if self.section.api_key is not None else "no login was tried"
            yield Check("cortex", "ok", f"answers at {self.section.url}, {proof}")

    def _version(self, look: Asking) -> Iterator[Check]:
        if look.asks(self.role) and (found := self.told.known()) is not None and found.release:
            yield supported("cortex version", found.release, SUPPORTED)
