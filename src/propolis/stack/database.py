"""Cassandra: does it answer, what does it hold, how do its files behave."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from propolis.config.schema import DatabaseConfig
from propolis.stack.model import Tree, nothing_immutable


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
class DatabaseFacts:
    """What Cassandra says of itself. `nodes` begins with the node that was asked."""

    release_version: str
    cluster_name: str
    host_id: UUID
    partitioner: str
    keyspaces: tuple[str, ...]
    nodes: tuple[NodeFacts, ...]
    time: datetime
    """The server's clock (UTC) when it was asked."""

    @property
    def schema_agrees(self) -> bool:
        """Whether every node tells the same schema version."""
        return len({node.schema_version for node in self.nodes}) == 1


def answers(config: DatabaseConfig, timeout: float) -> None:
    """Wait until Cassandra really serves: login, schema agreement of all nodes, a read at consistency ALL.

    An open port is not enough. Raises PreflightError when `timeout` seconds have passed, ConfigError if the
    password can't be had.
    """
    raise NotImplementedError


def facts(config: DatabaseConfig) -> DatabaseFacts:
    """Ask one node what it and its cluster are. Raises PreflightError if it doesn't answer."""
    raise NotImplementedError


def trees(config: DatabaseConfig) -> tuple[Tree, ...]:
    """Every folder that Cassandra needs to start again with all its data.

    `saved_caches` is not among them: it only spares reads after a start, Cassandra rebuilds it, and one that
    belongs to other data would be wrong.
    """
    data = [
        Tree("database", f"database/data-{number}", "database", immutable, folder)
        for number, folder in enumerate(config.data)
    ]
    others = [("commitlog", config.commitlog), ("hints", config.hints), ("cdc_raw", config.cdc_raw)]
    return (
        *data,
        *(
            Tree("database", f"database/{name}", "database", nothing_immutable, folder)
            for name, folder in others
            if folder is not None
        ),
    )


def immutable(path: str) -> bool:
    """Say of a file in a stopped node's data folder whether it never changes in place (an `Immutable` rule)."""
    return _WRITTEN_ONCE.fullmatch(path.rsplit("/", 1)[-1]) is not None


_WRITTEN_ONCE = re.compile(
    r"""
    [a-z]{2} - [0-9a-z_]+ - (big|bti) -          # version - generation or time-based id - format
    ( Data\.db | Index\.db | Partitions\.db | Rows\.db | CompressionInfo\.db | Summary\.db
    | Statistics\.db                             # replaced by a new file, never rewritten
    | Digest\.crc32 | CRC\.db )
    """,
    re.VERBOSE,
)
