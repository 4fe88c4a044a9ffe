"""What a stack consists of: its trees, its services, and the order in which services stop and start.

Every other module asks here; the order and the names of trees are written down nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from propolis.config import secrets
from propolis.config.schema import CassandraConfig, Config, ElasticsearchConfig, S3Files
from propolis.errors import ConfigError

Immutable = Callable[[str], bool]
"""Says of a path in a tree ("a/b/c") whether the file never changes in place once its service stopped.

Anything a rule doesn't know is False: then a clone copies its bytes.
"""

KeptEmpty = Callable[[str], str | None]
"""Says of a folder in a tree ("a/b") whether it is kept without what it holds, and what that is called."""


def none_kept_empty(path: str) -> str | None:
    """Keep every folder with all that is in it (a `KeptEmpty` rule)."""
    return None


STORES = ("database", "index", "files", "config")
"""Every store, in the order in which reports name them."""

STOP_ORDER = ("thehive", "index", "database")
"""TheHive first, so that it writes to neither of the others any more; the database last. See `services`."""

START_WAVES = (("database", "index"), ("thehive",))
"""Services of one wave start side by side; the next wave starts once all of them answer."""


@dataclass(frozen=True)
class Tree:
    """One folder or bucket of a store, as the repository keeps it.

    `name` is `store/…` and the same in every backup. Exactly one of `path` and `bucket` is set.
    `service` writes to it: while that service is stopped, nothing in it changes. `immutable` says which
    files of a stopped service never change in place, `kept_empty` which folders' contents are left out.
    """

    store: str
    name: str
    service: str
    immutable: Immutable
    path: Path | None = None
    bucket: S3Files | None = None
    kept_empty: KeptEmpty = none_kept_empty


def services(config: Config) -> tuple[str, ...]:
    """List the services of this stack in the order in which they stop.

    One that keeps its database or index in a folder of TheHive's own has no service for it: a server of that kind on
    this host is somebody else's.
    """
    absent = {
        *(("database",) if config.cassandra is None else ()),
        *(("index",) if config.elasticsearch is None else ()),
    }
    return tuple(name for name in STOP_ORDER if name not in absent)


def trees(config: Config) -> tuple[Tree, ...]:
    """List every tree that a backup of this stack holds, in a fixed order."""
    from propolis.stack import database, embedded, files, index, thehive

    found: list[Tree] = []
    if isinstance(config.database, CassandraConfig):
        found += database.trees(config.database)
    else:
        found += embedded.trees(config.database)
    if isinstance(config.index, ElasticsearchConfig):
        found += index.trees(config.index)
    else:
        found += embedded.trees(config.index)
    found += files.trees(config.files)
    found += thehive.trees(config.thehive)
    if config.cassandra is not None:
        found.append(Tree("config", "config/database", "database", nothing_immutable, config.cassandra.config))
    if config.elasticsearch is not None:
        found.append(Tree("config", "config/index", "index", nothing_immutable, config.elasticsearch.config))
    return tuple(found)


def trees_of(config: Config, stores: Iterable[str]) -> tuple[Tree, ...]:
    """List the trees of some stores. Raises ConfigError for a name that is no store."""
    wanted = set(stores)
    if unknown := wanted.difference(STORES):
        raise ConfigError(f"There is no store {', '.join(sorted(unknown))}; stores are {', '.join(STORES)}")
    return tuple(tree for tree in trees(config) if tree.store in wanted)


def answers(
    config: Config,
    service: str,
    timeout: float,
    alive: Callable[[], bool] | None = None,
    login: secrets.Login | None = None,
) -> None:
    """Wait until `service` answers for real, for at most `timeout` seconds and as long as it is `alive`.

    `login` is used instead of the configured one.
    Raises PreflightError saying what it last answered, ConfigError if its secret can't be had.
    """
    from propolis.stack import database, index, thehive

    if service == "database" and config.cassandra is not None:
        database.answers(config.cassandra, timeout, alive, login)
    elif service == "index" and config.elasticsearch is not None:
        index.answers(config.elasticsearch, timeout, alive, login)
    elif service == "thehive":
        thehive.answers(config.thehive, timeout, alive)
    else:
        raise ConfigError(f"There is no service {service}; services are {', '.join(services(config))}")


def address(config: Config, service: str) -> str:
    """Where a service of this stack answers, as a person writes it: a URL, or host and port."""
    if service == "database" and config.cassandra is not None:
        host = config.cassandra.host
        return f"{f'[{host}]' if ':' in host else host}:{config.cassandra.port}"
    if service == "index" and config.elasticsearch is not None:
        return config.elasticsearch.url
    return config.thehive.url


def nothing_immutable(path: str) -> bool:
    """Say of every file that it may change in place (an `Immutable` rule): its bytes are copied."""
    return False
