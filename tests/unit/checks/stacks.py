"""Stacks as rules see them, without a server: what each says of itself is set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from propolis.checks import Check, Command, Look
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import Config
from propolis.errors import PreflightError
from propolis.stack.database.server import DatabaseFacts, NodeFacts
from propolis.stack.database.service import Database
from propolis.stack.index.contents import IndexInfo
from propolis.stack.index.server import IndexFacts
from propolis.stack.index.service import Index
from propolis.stack.rules import Once
from propolis.stack.stack import services

SCHEMA = UUID(int=7)


def config_in(folder: Path, **changes: Any) -> Config:
    """The sample's configuration with all its folders below `folder`, and made."""
    file = folder / "propolis.yaml"
    file.write_text(sample())
    config = load(file)
    below = _below(config.model_dump(mode="json"), folder / "host")
    config = Config.model_validate({**below, **changes})
    assert config.cassandra is not None
    assert config.elasticsearch is not None
    for path in (
        *(*config.cassandra.data, config.cassandra.commitlog, config.cassandra.hints, config.cassandra.config),
        *(config.cassandra.saved_caches, config.elasticsearch.data, config.elasticsearch.config),
        *(config.require_thehive().config, getattr(config.files, "folder", folder)),
    ):
        path.mkdir(parents=True, exist_ok=True)
    return config


def _below(value: Any, root: Path) -> Any:
    if isinstance(value, dict):
        return {key: _below(part, root) for key, part in value.items()}
    if isinstance(value, list):
        return [_below(part, root) for part in value]
    return f"{root}{value}" if isinstance(value, str) and value.startswith("/") else value


def node(number: int, **changes: Any) -> NodeFacts:
    fine = NodeFacts(f"10.0.0.{number}", UUID(int=number), "dc1", "4.1.10", SCHEMA, True, True)
    return dataclasses.replace(fine, **changes)


def database_of(config: Config, **changes: Any) -> DatabaseFacts:
    """A database that keeps every rule, but for what is changed."""
    assert config.cassandra is not None
    fine = DatabaseFacts(
        release_version="4.1.10",
        cluster_name=config.cassandra.cluster_name,
        host_id=UUID(int=1),
        partitioner="Murmur3Partitioner",
        keyspaces=("system", config.cassandra.keyspace),
        nodes=(node(1),),
        time=datetime.now(UTC),
    )
    return dataclasses.replace(fine, **changes)


def index_of(**changes: Any) -> IndexFacts:
    """An index that keeps every rule, but for what is changed."""
    fine = IndexFacts(
        distribution="elasticsearch",
        version="7.17.29",
        cluster_name="hive",
        health="yellow",
        nodes=1,
        indices={"thehive_global": 314},
    )
    return dataclasses.replace(fine, **changes)


def look_at(
    config: Config,
    command: Command,
    *,
    database: DatabaseFacts | PreflightError | None = None,
    index: IndexFacts | PreflightError | None = None,
    indices: Iterable[IndexInfo] = (IndexInfo("thehive_global", "u", 1, 314, 900),),
    blocks: Iterable[str] = (),
    **changes: Any,
) -> Look:
    """A look at a stack whose servers answer this."""
    changes.setdefault("running", [name for name in services(config) if name != "thehive"])
    look = Look(config, command, wait=lambda service: None, **changes)
    for service in look.services.values():
        if isinstance(service, Database):
            service.told = _once(database or database_of(config))
        elif isinstance(service, Index):
            service.told = _once(index or index_of())
            service.indices = _once(list(indices))
            service.blocks = _once(tuple(blocks))
    return look


def _once(answer: Any) -> Once[Any]:
    def ask() -> Any:
        if isinstance(answer, PreflightError):
            raise answer
        return answer

    return Once(ask)


def failed(found: list[Check]) -> dict[str, str]:
    """What failed, by name."""
    return {check.name: check.message for check in found if check.result == "fail"}


def warned(found: list[Check]) -> dict[str, str]:
    """What is only a warning, by name."""
    return {check.name: check.message for check in found if check.result == "warn"}
