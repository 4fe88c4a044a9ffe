"""Rules of the database, a server."""

from __future__ import annotations

from collections.abc import Iterator

from propolis.config.schema import CassandraConfig
from propolis.errors import PreflightError
from propolis.stack.database.files import ring_of
from propolis.stack.database.server import DatabaseFacts, agrees
from propolis.stack.ring import told
from propolis.stack.rules import Asking, Check, Once, Rule, clock, counted, running, supported

SUPPORTED = {"cassandra": ("4.0", "4.1", "5.0")}

PATIENCE = 10.0
"""Seconds that a cluster has to agree before anything is stopped: it should already."""

_ROLES = "system_auth"


class DatabaseRules:
    """What `told` says of a server, looked at in different ways; of one that doesn't answer only that is said."""

    def __init__(self, role: str, section: CassandraConfig, told: Once[DatabaseFacts]) -> None:
        self._role = role
        self._section = section
        self._told = told

    def all(self) -> tuple[Rule[Asking], ...]:
        """Every rule."""
        return (
            Rule("database", self.answers, stops=("doctor", "backup"), warns=("restore",)),
            Rule("database member", self.member, stops=("backup",)),
            Rule("database seeds", self.seeds, warns=("restore",)),
            Rule("database version", self.version, stops=("doctor", "backup"), warns=("restore",)),
            Rule("database nodes", self.nodes, stops=("doctor", "backup", "restore")),
            Rule("database state", self.state, stops=("doctor", "backup"), warns=("restore",)),
            Rule("database copies", self.copies),
            Rule("database cluster", self.cluster, stops=("doctor", "backup", "restore")),
            Rule("database keyspace", self.keyspace, stops=("doctor", "backup")),
            Rule("database clock", self.time, warns=("backup", "restore")),
        )

    def answers(self, look: Asking) -> Iterator[Check]:
        """Whether it answers for real."""
        if look.asks(self._role):
            look.wait(self._role)
            self._told.get()
            yield Check("database", "ok", f"answers at {self._section.host}:{self._section.port}")

    def member(self, look: Asking) -> Iterator[Check]:
        """Whether a node of a cluster runs: only then is it seen that all of its nodes are backed up, and drained."""
        yield from running(self._role, self._section.nodes, look)

    def seeds(self, look: Asking) -> Iterator[Check]:
        """Whether it is known where a node of a cluster will look for the others."""
        if self._section.nodes > 1:
            yield from told(self._role, ring_of(self._section))

    def version(self, look: Asking) -> Iterator[Check]:
        """Whether its version is supported."""
        if (found := self._facts(look)) is not None:
            yield supported("database version", found.release, SUPPORTED)

    def nodes(self, look: Asking) -> Iterator[Check]:
        """Whether its cluster has no more nodes than are configured."""
        if (found := self._facts(look)) is not None:
            addresses = [node.address for node in found.nodes]
            configured, named = self._section.nodes, ", ".join(addresses)
            yield from counted("database nodes", "database.nodes", configured, len(addresses), named)

    def state(self, look: Asking) -> Iterator[Check]:
        """Whether every node is up and normal, as `nodetool status` shows with UN, and they agree."""
        if (found := self._facts(look)) is None:
            return
        bad = [node.address for node in found.nodes if node.up is False or node.normal is False]
        if bad:
            message = f"{', '.join(bad)} is not up and normal"
            yield Check("database state", "fail", message, "Check `nodetool status`")
            return
        try:
            if self._section.nodes > 1:
                agrees(self._section, PATIENCE)
        except PreflightError as error:
            yield Check("database state", "fail", error.what, "Check `nodetool status` on every node")
        else:
            yield Check("database state", "ok", "up and normal (UN)")

    def copies(self, look: Asking) -> Iterator[Check]:
        """Whether a node of a cluster may be down without taking data, or every login, with it."""
        if self._section.nodes == 1 or (found := self._facts(look)) is None:
            return
        for keyspace, what in ((self._section.keyspace, "a part of TheHive's data"), (_ROLES, "some logins")):
            if found.copies.get(keyspace) == 1:
                message = f"the keyspace {keyspace} has one copy: {what} can't be used while the node with it is down"
                hint = f"ALTER KEYSPACE {keyspace} with a higher replication factor, then `nodetool repair`"
                yield Check("database copies", "warn", message, hint)

    def cluster(self, look: Asking) -> Iterator[Check]:
        """Whether it is the configured cluster."""
        if (found := self._facts(look)) is None:
            return
        if found.cluster_name == self._section.cluster_name:
            yield Check("database cluster", "ok", found.cluster_name)
        else:
            yield Check(
                "database cluster",
                "fail",
                f"it is called {found.cluster_name!r}, but propolis.yaml says {self._section.cluster_name!r}",
                "Set database.cluster_name in propolis.yaml",
            )

    def keyspace(self, look: Asking) -> Iterator[Check]:
        """Whether it has TheHive's keyspace."""
        if (found := self._facts(look)) is None:
            return
        if self._section.keyspace in found.keyspaces:
            yield Check("database keyspace", "ok", self._section.keyspace)
        else:
            yield Check(
                "database keyspace",
                "fail",
                f"there is no keyspace {self._section.keyspace}",
                "Set database.keyspace to the value of db.janusgraph.storage.cql.keyspace in application.conf",
            )

    def time(self, look: Asking) -> Iterator[Check]:
        """Whether its clock agrees with this host's."""
        if (found := self._facts(look)) is not None:
            yield clock("database clock", found.time)

    def _facts(self, look: Asking) -> DatabaseFacts | None:
        return self._told.known() if look.asks(self._role) else None
