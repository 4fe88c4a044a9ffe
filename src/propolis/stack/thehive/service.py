"""TheHive, as a service of the stack, with the stores that it keeps itself."""

from __future__ import annotations

from typing import Self

from propolis.config.schema import BerkeleyConfig, Config, LuceneConfig
from propolis.config.secrets import Login
from propolis.stack.asking.retry import Alive
from propolis.stack.files import store
from propolis.stack.model import Service, Tree, nothing_immutable
from propolis.stack.thehive import embedded, server
from propolis.stack.thehive.health import Health


class TheHive(Service):
    """TheHive on this host."""

    role = "thehive"
    label = "TheHive"
    needs = ("database", "index")
    proof = "/api/health"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def of(cls, config: Config) -> Self:
        """Every stack has one."""
        return cls(config)

    @property
    def address(self) -> str:
        """Its URL."""
        return self.config.thehive.url

    def trees(self) -> tuple[Tree, ...]:
        """Attachments, configuration, and the database and the index where it keeps them itself.

        The files of its configuration are few and edited in place, so they are copied.
        """
        kept = [self.config.database, self.config.index]
        own = [tree for one in kept if isinstance(one, BerkeleyConfig | LuceneConfig) for tree in embedded.trees(one)]
        configuration = Tree("config", "config/thehive", self.role, nothing_immutable, self.config.thehive.config)
        return (*own, *store.trees(self.config.files), configuration)

    def answers(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> Health:
        """Wait until it answers and works; it has no login but the configured one."""
        return server.answers(self.config.thehive, timeout, alive)

    def facts(self) -> server.TheHiveFacts:
        """Its version."""
        return server.facts(self.config.thehive)
