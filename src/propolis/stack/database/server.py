"""Asking Cassandra: does it answer, what does it hold."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from propolis.config import secrets
from propolis.config.load import read_yaml
from propolis.config.schema import CassandraConfig
from propolis.errors import IntegrityError
from propolis.stack.asking.retry import Alive, NotYet, until
from propolis.stack.database.session import OthersMissing, failed, label, opened
from propolis.stack.model import Facts

if TYPE_CHECKING:
    from cassandra.cluster import Session


@dataclass(frozen=True)
class NodeFacts:
    """One node of the cluster as the node asked sees it."""

    address: str
    host_id: UUID
    data_center: str
    release_version: str
    schema_version: UUID | None
    up: bool | None
    """None where this node can't tell: before 5.0, CQL shows no gossip state."""
    normal: bool | None
    """Neither joining, leaving nor moving; None as for `up`."""


@dataclass(frozen=True)
class DatabaseFacts(Facts):
    """What Cassandra says of itself. `nodes` begins with the node that was asked."""

    release_version: str
    cluster_name: str
    host_id: UUID
    partitioner: str
    keyspaces: tuple[str, ...]
    nodes: tuple[NodeFacts, ...]
    time: datetime
    """The server's clock (UTC) when it was asked."""
    copies: Mapping[str, int] = field(default_factory=dict)
    """How many copies each keyspace keeps: the sum over data centers; none where that isn't a number."""
    superuser: str = ""
    """The role that asked, if it is a superuser; empty otherwise, or where roles aren't used."""

    @property
    def release(self) -> str:
        """Product and version."""
        return f"cassandra {self.release_version}"

    @property
    def kept(self) -> Mapping[str, Any]:
        """What a manifest keeps: the cluster's name, its keyspaces, and a superuser if one asked."""
        found = {"cluster_name": self.cluster_name, "keyspaces": list(self.keyspaces)}
        return {**found, "database_superuser": self.superuser} if self.superuser else found

    @property
    def member(self) -> Mapping[str, Any]:
        """Its place in its cluster, and what all nodes must have in common."""
        return {
            "cluster": self.cluster_name,
            "node": str(self.host_id),
            "nodes": [str(node.host_id) for node in self.nodes],
            "release": self.release,
        }


def answers(
    config: CassandraConfig, timeout: float, alive: Alive | None = None, login: secrets.Login | None = None
) -> None:
    """Wait until Cassandra really serves: login, schema agreement, a read at consistency ALL.

    An open port is not enough. Of a node of a cluster, only that node is waited for: `agrees` asks the others.
    `login` is used instead of the configured one. Raises PreflightError when `timeout` seconds have passed or the
    login is refused for some seconds, ConfigError if the password can't be had.
    """
    login = login or secrets.login(config.username, config.password)

    def attempt(left: float) -> None:
        # Roles are read at LOCAL_QUORUM: a node whose others are down lets nobody in, and says why. It serves then:
        # its port opens only after it joined the ring (4.1 waits 10 s for others before that, then goes on).
        without = contextlib.suppress(*([OthersMissing] if config.nodes > 1 else []))
        with without, opened(config, login, min(left, 30.0)) as session:
            local = _local(session)
            if config.nodes == 1:
                _require_agreement(session, _nodes(session, local), config)

    until(attempt, label(config), timeout, alive)


def agrees(
    config: CassandraConfig, timeout: float, alive: Alive | None = None, login: secrets.Login | None = None
) -> None:
    """Wait until this node sees its whole cluster: every node, one schema, and an answer from each of them.

    Gossip is not shown by CQL before 5.0, so the last is a read of a whole table at consistency ALL: each node owns
    a part of it. Every host asks its own node, so all views are covered. Raises PreflightError and ConfigError as
    `answers` does.
    """
    login = login or secrets.login(config.username, config.password)

    def attempt(left: float) -> None:
        with opened(config, login, min(left, 30.0)) as session:
            seen = _nodes(session, _local(session))
            if len(seen) != config.nodes:
                names = ", ".join(node.address for node in seen)
                raise NotYet(f"it sees {len(seen)} of the {config.nodes} nodes of its cluster ({names})")
            _require_agreement(session, seen, config)

    until(attempt, f"The cluster of {label(config)}", timeout, alive)


def _require_agreement(session: Session, seen: Sequence[NodeFacts], config: CassandraConfig) -> None:
    """Raise NotYet unless all nodes are up, and agree."""
    is_cluster = config.nodes > 1
    if len({node.schema_version for node in seen}) != 1:
        raise NotYet("its nodes don't agree on the schema")
    down = [node.address for node in seen if node.up is False or (is_cluster and node.normal is False)]
    if down:
        raise NotYet(f"{', '.join(down)} is down")
    _read_at_all(session, config.keyspace, whole=is_cluster)


def facts(config: CassandraConfig) -> DatabaseFacts:
    """Ask one node what it and its cluster are. Raises PreflightError if it doesn't answer."""
    try:
        with opened(config, secrets.login(config.username, config.password), 30.0) as session:
            local = _local(session)
            keyspaces = _rows(session, "SELECT keyspace_name, replication FROM system_schema.keyspaces")
            return DatabaseFacts(
                release_version=local.release_version,
                cluster_name=local.cluster_name,
                host_id=local.host_id,
                partitioner=local.partitioner,
                keyspaces=tuple(sorted(row.keyspace_name for row in keyspaces)),
                nodes=_nodes(session, local),
                time=local.time.replace(tzinfo=UTC),
                copies={row.keyspace_name: _copies(row.replication) for row in keyspaces},
                superuser=_superuser(session, config.username or ""),
            )
    except NotYet as missing:
        raise failed(config, missing) from None


def run(config: CassandraConfig, login: secrets.Login, statements: Sequence[str]) -> None:
    """Execute statements, one after another, logged in as `login`. Raises PreflightError; it never shows them."""
    try:
        with opened(config, login, 30.0) as session:
            for statement in statements:
                session.execute(statement)
    except NotYet as missing:
        raise failed(config, missing) from None


def writes(config: CassandraConfig) -> dict[str, int]:
    """Count the writes that each keyspace has seen since the node's start, also those that are in no file yet.

    Empty where this role may not see them. Raises PreflightError if Cassandra doesn't answer.
    """
    from cassandra import InvalidRequest, Unauthorized

    try:
        with opened(config, secrets.login(config.username, config.password), 30.0) as session:
            try:
                rows = _rows(session, "SELECT keyspace_name, count FROM system_views.local_write_latency")
            except (InvalidRequest, Unauthorized):
                return {}
    except NotYet as missing:
        raise failed(config, missing) from None
    found: dict[str, int] = {}
    for row in rows:
        found[row.keyspace_name] = found.get(row.keyspace_name, 0) + int(row.count or 0)
    return found


def asks_for_login(config: CassandraConfig) -> bool:
    """Whether cassandra.yaml names an authenticator that refuses whoever shows no password. Raises ConfigError."""
    document = read_yaml(config.config / "cassandra.yaml")
    named = document.get("authenticator") if isinstance(document, dict) else None
    if isinstance(named, dict):
        named = named.get("class_name")
    return str(named or _OPEN).rpartition(".")[2] != _OPEN


_OPEN = "AllowAllAuthenticator"
"""Cassandra's default: everybody may log in, as anybody."""


def cluster_name_on_disk(config: CassandraConfig) -> str:
    """Read the cluster's name from cassandra.yaml, as a node that doesn't run will use it at its next start.

    Raises ConfigError if the file can't be read.
    """
    document = read_yaml(config.config / "cassandra.yaml")
    name = document.get("cluster_name") if isinstance(document, dict) else None
    return str(name or "Test Cluster")  # Cassandra's own default


def require_graph(config: CassandraConfig, login: secrets.Login | None = None) -> tuple[str, ...]:
    """Check that JanusGraph's tables are there and hold rows; give their names.

    `login` is used instead of the configured one.
    Raises IntegrityError if the keyspace or a table is missing or empty, PreflightError if Cassandra doesn't answer.
    """
    try:
        with opened(config, login or secrets.login(config.username, config.password), 60.0) as session:
            present = {
                row.table_name
                for row in session.execute(
                    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (config.keyspace,)
                )
            }
            empty = [
                table
                for table in _GRAPH_TABLES
                if table not in present or not _rows(session, _any_row(config.keyspace, table))
            ]
    except NotYet as missing:
        raise failed(config, missing) from None
    if empty:
        what = "the keyspace does not exist" if not present else f"{', '.join(empty)} has no rows"
        raise IntegrityError(f"TheHive's data is missing in {label(config)}, keyspace {config.keyspace}: {what}")
    return _GRAPH_TABLES


_GRAPH_TABLES = ("edgestore", "graphindex", "janusgraph_ids", "system_properties")
"""Tables that hold rows in every graph that JanusGraph ever opened and wrote to."""


def _rows(session: Session, query: str) -> list[Any]:
    return list(session.execute(query))


def _local(session: Session) -> Any:
    query = (
        "SELECT cluster_name, host_id, release_version, partitioner, data_center, schema_version, bootstrapped,"
        " tokens, broadcast_address, listen_address, toTimestamp(now()) AS time FROM system.local"
    )
    rows = _rows(session, query)
    if not rows or rows[0].host_id is None or rows[0].schema_version is None:
        raise NotYet("it has not joined its cluster yet")
    return rows[0]


def _nodes(session: Session, local: Any) -> tuple[NodeFacts, ...]:
    """List the node asked and its peers.

    That a node answers CQL means it is up: draining and leaving close the port. Of its peers only the gossip
    table tells more, and that exists from 5.0 on and only for roles that may read it.
    """
    gossip = _gossip(session)
    normal = local.bootstrapped == "COMPLETED" and bool(local.tokens)
    address = str(local.broadcast_address or local.listen_address)
    if address in gossip:
        normal = normal and gossip[address][1]
    found = [
        NodeFacts(
            address, local.host_id, local.data_center, local.release_version, local.schema_version, True, normal
        )
    ]
    query = "SELECT peer, host_id, data_center, release_version, schema_version FROM system.peers_v2"
    for row in _rows(session, query):
        up, is_normal = gossip.get(str(row.peer), (None, None))
        found.append(
            NodeFacts(
                str(row.peer), row.host_id, row.data_center, row.release_version, row.schema_version, up, is_normal
            )
        )
    return tuple(found)


def _copies(replication: Mapping[str, str]) -> int:
    """Add up the factors of a keyspace: `replication_factor` of SimpleStrategy, one a data center of the other."""
    return sum(int(value) for key, value in replication.items() if key != "class" and value.isdecimal())


def _superuser(session: Session, role: str) -> str:
    """Give the role back if it may do everything; only superusers may read of whom that is true."""
    from cassandra import InvalidRequest, Unauthorized

    try:
        rows = list(session.execute("SELECT is_superuser FROM system_auth.roles WHERE role = %s", (role,)))
    except (InvalidRequest, Unauthorized):
        return ""
    return role if rows and rows[0].is_superuser else ""


def _gossip(session: Session) -> dict[str, tuple[bool, bool]]:
    """Give up and normal of each node by address; empty where this version or role doesn't show it."""
    from cassandra import InvalidRequest, Unauthorized

    try:
        rows = _rows(session, "SELECT address, status, status_with_port FROM system_views.gossip_info")
    except (InvalidRequest, Unauthorized):
        return {}
    states = {}
    for row in rows:
        status = str(row.status_with_port or row.status or "").partition(",")[0]
        states[str(row.address)] = (status != "shutdown", status == "NORMAL")
    return states


def _read_at_all(session: Session, keyspace: str, *, whole: bool) -> None:
    """Read a row from each of its replicas, of a table that JanusGraph always has, if the keyspace is there yet.

    `whole`: every row, some hundred at most, and with them from every node: each is a replica of some range.
    """
    from cassandra import ConsistencyLevel
    from cassandra.query import SimpleStatement

    tables = session.execute(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s",
        (keyspace, "system_properties"),
    )
    if not list(tables):
        return
    query = _any_row(keyspace, "system_properties")
    if whole:
        query = query.removesuffix(_ANY)
    list(session.execute(SimpleStatement(query, consistency_level=ConsistencyLevel.ALL)))


def _any_row(keyspace: str, table: str) -> str:
    """Write a query for one row; names are quoted, since CQL can't bind them."""
    name = keyspace.replace('"', '""')
    return f'SELECT key FROM "{name}"."{table}"{_ANY}'  # noqa: S608


_ANY = " LIMIT 1"
