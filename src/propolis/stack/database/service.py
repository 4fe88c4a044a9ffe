"""The database: Cassandra, as a service of the stack."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Self

from propolis.config.schema import CassandraConfig, Config
from propolis.config.secrets import Login
from propolis.errors import ConfigError
from propolis.stack.asking.retry import Alive
from propolis.stack.database import files, roles, server
from propolis.stack.database.rules import DatabaseRules
from propolis.stack.model import BackedUp, Service, Tree
from propolis.stack.ring import Ring
from propolis.stack.rules import Asking, Check, Rule


class Database(Service[server.DatabaseFacts]):
    """Cassandra on this host."""

    role = "database"
    label = "the database"
    proof = "query succeeds"
    stopping = "drain and stop"
    logins = "role"
    proven = True
    names = ("database/data", "database/commitlog", "database/hints", "database/cdc_raw", "config/database")

    def __init__(self, section: CassandraConfig) -> None:
        super().__init__()
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
        """Wait for a login, schema agreement, and a read at consistency ALL; of a node of a cluster, for itself."""
        server.answers(self.section, timeout, alive, login)

    @property
    def nodes(self) -> int:
        """As configured."""
        return self.section.nodes

    def ring(self) -> Ring | None:
        """As its own file has it."""
        return files.ring_of(self.section) if self.nodes > 1 else None

    def agrees(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> None:
        """Wait for every node, schema agreement, and a read at consistency ALL that takes every node."""
        if self.nodes > 1:
            server.agrees(self.section, timeout, alive, login)

    def facts(self) -> server.DatabaseFacts:
        """Version, cluster, keyspaces and nodes."""
        return server.facts(self.section)

    def rules(self) -> tuple[Rule[Asking], ...]:
        """Rules of a server, and of what it holds."""
        return DatabaseRules(self.role, self.section, self.told).all()

    def same(self, backed_up: BackedUp, look: Asking) -> Iterator[Check]:
        """Check that it is of the same cluster, too: Cassandra refuses to start on another's data."""
        there, here = backed_up.facts.get("cluster_name"), [self.section.cluster_name]
        with contextlib.suppress(ConfigError):  # no file that can be read: then propolis.yaml alone tells it
            here.append(server.cluster_name_on_disk(self.section))
        if other := next((name for name in here if name != there), None):
            yield Check(
                "cluster name",
                "fail",
                f"the backup is of the Cassandra cluster {there!r}, the target's is named "
                f"{other!r}: Cassandra refuses to start on another cluster's data",
                f"Set cluster_name: {there!r} in {self.section.config}/cassandra.yaml and in propolis.yaml",
            )
        yield from super().same(backed_up, look)

    def give_password(self, known: Login, wanted: Login) -> None:
        """Give a role its password; one that is missing is made, by a superuser."""
        roles.give_role(self.section, known, wanted)
