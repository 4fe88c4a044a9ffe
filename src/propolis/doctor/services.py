"""Checks of the services: do they run, do they answer, are their versions supported, do clocks agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from propolis import platform
from propolis.config import agreement
from propolis.config.schema import Config
from propolis.doctor.model import Check
from propolis.errors import ConfigError, PropolisError
from propolis.platform.base import ServiceState
from propolis.stack import database, embedded, index, thehive
from propolis.stack.model import services

PATIENCE = 5.0
"""Seconds a service may take to answer: it should be up already."""

CLOCK_TOLERANCE = 5.0
"""Seconds by which two clocks may differ; an answer's way is part of it."""

_SUPPORTED = {
    "cassandra": ("4.0", "4.1", "5.0"),
    "elasticsearch": ("7", "8", "9"),
    "opensearch": ("1", "2", "3"),
}


def settings(config: Config) -> Iterator[Check]:
    """Whether the servers here are those that TheHive's own file names."""
    hint = "Write propolis.yaml anew with `propolis init`, or correct it"
    wrong = [Check("settings", "fail", text, hint) for text in agreement.elsewhere(config)]
    try:
        wrong += [Check("settings", "fail", text, hint) for text in agreement.disagreements(config)]
    except ConfigError as error:
        wrong.append(Check("settings", "warn", f"TheHive's own could not be compared: {error.what}", error.next))
    yield from wrong or [Check("settings", "ok", "TheHive's own file names the same stores")]


def running(config: Config) -> Iterator[Check]:
    """Whether the platform says that each service runs."""
    found = platform.open(config.platform)
    for service in reversed(services(config)):
        name = f"service {service}"
        if service == "thehive" and service not in found.services():
            thehive.require_absent(config.thehive)
            message = f"the platform has none, and nothing listens at {config.thehive.url}"
            yield Check(
                name, "warn", message, "If TheHive runs on this host, describe its service: it must be stopped"
            )
            continue
        try:
            state = found.state(service)
        except PropolisError as error:
            yield Check(name, "fail", error.what, error.next)
            continue
        if state is ServiceState.RUNNING:
            yield Check(name, "ok", "running")
        else:
            yield Check(name, "fail", "not running", "Start it; `propolis recover` does if a run was cut short")


def database_checks(config: Config) -> Iterator[Check]:
    """Whether Cassandra answers, is up and normal, is the configured cluster, and is supported.

    Of a database that TheHive keeps itself: whether it is there.
    """
    if config.cassandra is None:
        yield _embedded(config, "database")
        return
    section = config.cassandra
    database.answers(section, PATIENCE)
    found = database.facts(section)
    yield Check("database", "ok", f"answers at {section.host}:{section.port}")
    yield _version("database version", "cassandra", found.release_version)
    yield _nodes(found)
    if found.cluster_name == section.cluster_name:
        yield Check("database cluster", "ok", found.cluster_name)
    else:
        yield Check(
            "database cluster",
            "fail",
            f"it calls itself {found.cluster_name!r}, the configuration {section.cluster_name!r}",
            "Set database.cluster_name in propolis.yaml",
        )
    if section.keyspace in found.keyspaces:
        yield Check("database keyspace", "ok", section.keyspace)
    else:
        yield Check(
            "database keyspace",
            "fail",
            f"there is no keyspace {section.keyspace}",
            "Set database.keyspace to db.janusgraph.storage.cql.keyspace of application.conf",
        )
    yield clock("database clock", found.time)


def _nodes(found: database.DatabaseFacts) -> Check:
    """Say whether every node is up and normal, as `nodetool status` does with UN."""
    bad = [node.address for node in found.nodes if node.up is False or node.normal is False]
    if bad:
        return Check("database nodes", "fail", f"{', '.join(bad)} is not up and normal", "Look at `nodetool status`")
    if len(found.nodes) > 1:
        return Check(
            "database nodes",
            "fail",
            f"the cluster has {len(found.nodes)} nodes; a cold backup of one of them is not the whole database",
            "Clusters are not supported yet",
        )
    return Check("database nodes", "ok", "UN: up and normal")


def index_checks(config: Config) -> Iterator[Check]:
    """Whether the index answers, is healthy, holds TheHive's indices, and is supported.

    Of an index that TheHive keeps itself: whether it is there.
    """
    if config.elasticsearch is None:
        yield _embedded(config, "index")
        return
    section = config.elasticsearch
    index.answers(section, PATIENCE)
    found = index.facts(section)
    yield Check("index", "ok", f"answers at {section.url}")
    yield _version("index version", found.distribution, found.version)
    if found.health == "green" or found.nodes == 1:
        # One node has no place for replicas: yellow is all that it can be.
        yield Check("index health", "ok", found.health)
    else:
        yield Check("index health", "warn", f"{found.health}: replicas are missing", "Look at GET _cluster/health")
    if found.nodes > 1:
        yield Check(
            "index nodes",
            "fail",
            f"the cluster has {found.nodes} nodes; a cold backup of one of them is not the whole index",
            "Clusters are not supported yet",
        )
    if found.indices:
        counts = ", ".join(f"{name} ({count} documents)" for name, count in found.indices.items())
        yield Check("index contents", "ok", counts)
    else:
        yield Check(
            "index contents",
            "fail",
            f"no index begins with {section.prefix}",
            "Set index.prefix to index.search.index-name of application.conf",
        )


def _embedded(config: Config, store: str) -> Check:
    """Say whether TheHive's own database or index lies in its folder."""
    lacking = embedded.missing(config, store)
    if lacking is not None:
        return Check(store, "fail", lacking, f"Set {store}.folder in propolis.yaml to the folder that TheHive uses")
    return Check(store, "ok", "TheHive keeps it itself, in a folder")


def thehive_checks(config: Config) -> Iterator[Check]:
    """Whether TheHive answers, where the platform has it."""
    if "thehive" not in platform.open(config.platform).services():
        return
    thehive.answers(config.thehive, PATIENCE)
    version = thehive.facts(config.thehive).version
    yield Check("thehive", "ok", f"answers at {config.thehive.url}" + (f", version {version}" if version else ""))


def clock(name: str, theirs: datetime) -> Check:
    """Compare a server's clock with this host's: timestamps decide which write wins, and how old a backup is."""
    apart = (theirs - datetime.now(UTC)).total_seconds()
    if abs(apart) <= CLOCK_TOLERANCE:
        return Check(name, "ok", f"agrees with this host's within {CLOCK_TOLERANCE:g} s")
    side = "ahead of" if apart > 0 else "behind"
    return Check(
        name, "warn", f"{abs(apart):.0f} s {side} this host's", "Set both clocks by NTP before a backup or restore"
    )


def _version(name: str, product: str, version: str) -> Check:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    supported = _SUPPORTED[product]
    if numbers and (numbers.group(1) in supported or numbers.group(0) in supported):
        return Check(name, "ok", f"{product} {version}")
    return Check(
        name,
        "fail",
        f"{product} {version} was never tested; supported are {', '.join(supported)}",
        "Ask for support of it; a backup of an unknown version can't be promised to restore",
    )
