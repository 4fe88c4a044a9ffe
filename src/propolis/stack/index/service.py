"""The index: Elasticsearch or OpenSearch, as a service of the stack."""

from __future__ import annotations

from typing import Self

from propolis.config.schema import Config, ElasticsearchConfig
from propolis.config.secrets import Login
from propolis.stack.asking.retry import Alive
from propolis.stack.index import files, server, users
from propolis.stack.model import Service, Tree


class Index(Service):
    """TheHive's index, a server of either make on this host."""

    role = "index"
    label = "the index"
    proof = "cluster health"
    logins = "user"

    def __init__(self, section: ElasticsearchConfig) -> None:
        self.section = section

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The section `index` where that is a server."""
        return None if config.elasticsearch is None else cls(config.elasticsearch)

    @property
    def address(self) -> str:
        """Its URL."""
        return self.section.url

    def trees(self) -> tuple[Tree, ...]:
        """Data and configuration."""
        return files.trees(self.section)

    def answers(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> None:
        """Wait until the cluster is at least yellow and TheHive's indices have all their primaries."""
        server.answers(self.section, timeout, alive, login)

    def facts(self) -> server.IndexFacts:
        """Make, version, health and TheHive's indices."""
        return server.facts(self.section)

    def give_password(self, known: Login, wanted: Login) -> None:
        """Give a user its password, logged in as that very user."""
        users.give_user(self.section, known, wanted)
