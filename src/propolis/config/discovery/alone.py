"""Finding what runs on a host of the stack that doesn't have TheHive: the servers whose own files are here.

Nothing here says which of them TheHive uses; what its file would tell is given, as the host knows it that has it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from propolis.config.discovery.cortex import own_values
from propolis.config.discovery.database import cassandra_values
from propolis.config.discovery.finding import Findings
from propolis.config.discovery.index import server_values
from propolis.config.environment import described
from propolis.config.hocon import read
from propolis.config.schema import Config

_SETTINGS = {
    "database.keyspace": "db.janusgraph.storage.cql.keyspace",
    "database.username": "db.janusgraph.storage.username",
    "index.prefix": "db.janusgraph.index.search.index-name",
    "index.audit": "audit.elasticsearch.index-name",
    "index.username": "db.janusgraph.index.search.elasticsearch.http.auth.basic.username",
}
"""What TheHive's file has of other servers, by the keys of propolis.yaml."""

_INDEX = ("elasticsearch/elasticsearch.yml", "opensearch/opensearch.yml")
_DATABASE = ("cassandra/cassandra.yaml", "cassandra/conf/cassandra.yaml", "cassandra/default.conf/cassandra.yaml")
_MINIO = ("default/minio", "services/minio.yaml")


def without_thehive(found: Findings, root: Path, given: Mapping[str, Path], known: Mapping[str, Any]) -> None:
    """Find the sections of the servers here. `known` has what TheHive's file tells on another host, by key path."""
    etc = root / "etc"
    sections = set()
    if "database" in given or any((etc / name).is_file() for name in _DATABASE):
        sections.add("database")
        _known(found, etc, "database", known)
        found.attempt(lambda: cassandra_values(found, etc, None, given.get("database")))
    if "index" in given or any((etc / name).is_file() for name in _INDEX):
        sections.add("index")
        _known(found, etc, "index", known)
        found.attempt(lambda: server_values(found, root, None, given.get("index")))
    if "cortex" in given or (etc / "cortex/application.conf").is_file():
        found.attempt(lambda: own_values(found, root, given))
    if any((etc / name).is_file() for name in _MINIO):
        found.warn("MinIO is on this host: its bucket is read by the host that has TheHive, if it is TheHive's")
    if not sections and "cortex" not in found.values:
        found.warn(f"{etc} has no configuration of a server, so a backup stops and stores nothing on this host")


def told_to_others(config: Config) -> dict[str, str]:
    """What this host knows of the stack that other hosts have to know, by key path; no secret is among it."""
    found: dict[str, str | None] = {}
    if config.cassandra is not None:
        found["database.keyspace"] = config.cassandra.keyspace
        found["database.username"] = config.cassandra.username
    if config.elasticsearch is not None:
        found["index.prefix"] = config.elasticsearch.prefix
        found["index.audit"] = config.elasticsearch.audit
        found["index.username"] = config.elasticsearch.username
    if config.thehive is not None:
        file = config.thehive.config / "application.conf"
        service = described(config.platform.services / "thehive.yaml")
        hocon = read(file, environment={**os.environ, **(service or {})})
        for key, setting in _SETTINGS.items():
            found[key] = found.get(key) or hocon.text(setting)
    return {key: value for key, value in found.items() if value is not None}


def _known(found: Findings, etc: Path, section: str, known: Mapping[str, Any]) -> None:
    """Take what the other host knows, which is untrusted: these keys alone. Where a password is, this host says."""
    for key in _SETTINGS:
        value = known.get(key)
        if key.startswith(f"{section}.") and isinstance(value, str) and value:
            found.put(key, value, "as on the host that coordinates this one")
    if "username" in found.values.get(section, {}):
        found.put(f"{section}.password", {"file": str(etc / f"propolis/{section}.password")}, "to be written there")
