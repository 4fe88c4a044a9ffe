"""The database: Cassandra, as a service of the stack."""

from __future__ import annotations

from typing import Self

from propolis.config.schema import CassandraConfig, Config
from propolis.config.secrets import Login
from propolis.stack.asking.retry import Alive
from propolis.stack.database import files, roles, server
from propolis.stack.model import Service, Tree


class Database(Service):
    """Cassandra on this host."""

    role = "database"
    label = "the database"
    proof = "query succeeds"
    stopping = "drain and stop"
    logins = "role"

    def __init__(self, section: CassandraConfig) -> None:
        self.section = section

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The section `database` where that is a server."""
        return None if config.cassandra is None else cls(config.cassandra)

    @property
    def address(self) -> str:
        """Host and port of CQL."""
        host = self.section.host
        return f"{f'[{host}]' if ':' in host else host}:{self.section.port}"

    def trees(self) -> tuple[Tree, ...]:
        """Data, commit log, hints and configuration."""
        return files.trees(self.section)

    def answers(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> None:
        """Wait for a login, schema agreement of all nodes, and a read at consistency ALL."""
        server.answers(self.section, timeout, alive, login)

    def facts(self) -> server.DatabaseFacts:
        """Version, cluster, keyspaces and nodes."""
        return server.facts(self.section)

    def give_password(self, known: Login, wanted: Login) -> None:
        """Give a role its password; one that is missing is made, by a superuser."""
        roles.give_role(self.section, known, wanted)
