"""Rules of the database. Of one that TheHive keeps itself: whether it is there."""

from __future__ import annotations

from collections.abc import Iterator

from propolis.checks.look import Look
from propolis.checks.model import Check
from propolis.checks.services import clock, kept_in_folder, supported
from propolis.stack.database.server import DatabaseFacts


def answers(look: Look) -> Iterator[Check]:
    """Whether it answers for real; the other rules say nothing of one that doesn't."""
    section = look.config.cassandra
    if section is None:
        yield kept_in_folder(look.config, "database")
        return
    if look.asks("database"):
        look.wait("database")
        look.database.get()
        yield Check("database", "ok", f"answers at {section.host}:{section.port}")


def version(look: Look) -> Iterator[Check]:
    """Whether its version is supported."""
    if (found := _facts(look)) is not None:
        yield supported("database version", "cassandra", found.release_version)


def nodes(look: Look) -> Iterator[Check]:
    """Whether it is one node."""
    if (found := _facts(look)) is None:
        return
    if len(found.nodes) > 1:
        yield Check(
            "database nodes",
            "fail",
            f"the cluster has {len(found.nodes)} nodes; a single one doesn't hold the whole database",
            "Clusters are not supported yet",
        )
    else:
        yield Check("database nodes", "ok", "one, which holds all data")


def state(look: Look) -> Iterator[Check]:
    """Whether every node is up and normal, as `nodetool status` shows with UN."""
    if (found := _facts(look)) is None:
        return
    bad = [node.address for node in found.nodes if node.up is False or node.normal is False]
    if bad:
        yield Check("database state", "fail", f"{', '.join(bad)} is not up and normal", "Check `nodetool status`")
    else:
        yield Check("database state", "ok", "UN: up and normal")


def cluster(look: Look) -> Iterator[Check]:
    """Whether it is the configured cluster."""
    section = look.config.cassandra
    if section is None or (found := _facts(look)) is None:
        return
    if found.cluster_name == section.cluster_name:
        yield Check("database cluster", "ok", found.cluster_name)
    else:
        yield Check(
            "database cluster",
            "fail",
            f"it is called {found.cluster_name!r}, but propolis.yaml says {section.cluster_name!r}",
            "Set database.cluster_name in propolis.yaml",
        )


def keyspace(look: Look) -> Iterator[Check]:
    """Whether it has TheHive's keyspace."""
    section = look.config.cassandra
    if section is None or (found := _facts(look)) is None:
        return
    if section.keyspace in found.keyspaces:
        yield Check("database keyspace", "ok", section.keyspace)
    else:
        yield Check(
            "database keyspace",
            "fail",
            f"there is no keyspace {section.keyspace}",
            "Set database.keyspace to the value of db.janusgraph.storage.cql.keyspace in application.conf",
        )


def time(look: Look) -> Iterator[Check]:
    """Whether its clock agrees with this host's."""
    if (found := _facts(look)) is not None:
        yield clock("database clock", found.time)


def _facts(look: Look) -> DatabaseFacts | None:
    if look.config.cassandra is None or not look.asks("database"):
        return None
    return look.database.known()
