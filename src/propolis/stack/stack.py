"""The services of a stack, their trees, and the order in which they stop and start.

Every other module asks here; the order and the names of trees are written down nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from graphlib import TopologicalSorter

from propolis.config.schema import Config
from propolis.config.secrets import Login
from propolis.errors import ConfigError
from propolis.stack.cortex.service import Cortex
from propolis.stack.database.service import Database
from propolis.stack.index.service import CortexIndex, Index
from propolis.stack.minio.service import Minio
from propolis.stack.model import BucketTree, Facts, FolderTree, Service, Tree, bare
from propolis.stack.thehive.service import TheHive

SERVICES: tuple[type[Service[Facts]], ...] = (Database, Index, CortexIndex, Minio, Cortex, TheHive)
"""Every kind of service that a stack may have. Of those that don't need each other, the last one stops first."""

STORES = ("database", "index", "files", "config")
"""Every store, in the order in which reports name them."""

LABELS = {kind.role: kind.label for kind in SERVICES}
"""What each service is called within a sentence."""

OPTIONAL = tuple(dict.fromkeys(kind.optional for kind in SERVICES if kind.optional))
"""Sections of the configuration that a stack may lack, and with them services."""


def _waves() -> tuple[tuple[str, ...], ...]:
    sorter = TopologicalSorter({kind.role: kind.needs for kind in SERVICES})
    sorter.prepare()
    waves = []
    while sorter.is_active():
        ready = set(sorter.get_ready())
        waves.append(tuple(kind.role for kind in SERVICES if kind.role in ready))
        sorter.done(*ready)
    return tuple(waves)


START_WAVES = _waves()
"""Services of one wave start side by side; the next wave starts once all of them answer."""

STOP_ORDER = tuple(role for wave in reversed(START_WAVES) for role in reversed(wave))
"""Whoever needs others first, so that nothing writes to those any more. See `services`."""


def kind_of(role: str) -> type[Service[Facts]]:
    """The class of the services with this role."""
    return next(kind for kind in SERVICES if kind.role == role)


def instances(config: Config) -> tuple[Service[Facts], ...]:
    """The services of this stack.

    One that keeps its database or index in a folder of TheHive's own has no service for it: a server of that kind on
    this host is somebody else's.
    """
    return tuple(found for kind in SERVICES if (found := kind.of(config)) is not None)


def services(config: Config) -> tuple[str, ...]:
    """List the roles of this stack's services in the order in which they stop."""
    present = {service.role for service in instances(config)}
    return tuple(role for role in STOP_ORDER if role in present)


def service_of(config: Config, role: str) -> Service[Facts]:
    """Give this stack's service of that role. Raises ConfigError if it has none."""
    for service in instances(config):
        if service.role == role:
            return service
    raise ConfigError(f"There is no service {role}; services are {', '.join(services(config))}")


def index_of(config: Config, role: str) -> Index:
    """Give this stack's index of that role. Raises ConfigError if it has none."""
    found = service_of(config, role)
    if not isinstance(found, Index):
        raise ConfigError(f"{found.label} is not an index")
    return found


def needed_by(config: Config, role: str) -> tuple[str, ...]:
    """List the services of this stack that must answer before `role` starts, in the order in which they stop."""
    wanted = set(kind_of(role).needs)
    for wave in reversed(START_WAVES):
        for other in wave:
            wanted |= set(kind_of(other).needs) if other in wanted else set()
    return tuple(name for name in services(config) if name in wanted)


def with_dependents(config: Config, roles: Iterable[str]) -> set[str]:
    """Add to these services of the stack all others that need one of them: they can't run without."""
    return all_with_dependents(roles).intersection(services(config))


def all_with_dependents(roles: Iterable[str]) -> set[str]:
    """Add to these services all others, which a stack may have or not, that need one of them."""
    found = set(roles)
    for wave in START_WAVES:
        found |= {role for role in wave if found.intersection(kind_of(role).needs)}
    return found


def optional_of(tree: str) -> str:
    """The optional section that a tree of this name belongs to; empty where every stack has such trees."""
    return next((kind.optional for kind in SERVICES if _plain(tree) in kind.names), "")


def role_of(tree: str) -> str:
    """The role of the service that a tree of this name belongs to; empty where none has such trees."""
    return next((kind.role for kind in SERVICES if _plain(tree) in kind.names), "")


def _plain(tree: str) -> str:
    """A tree's name without host and number."""
    return re.sub(r"-[0-9]+$", "", bare(tree))


def trees(config: Config) -> tuple[Tree, ...]:
    """List every tree that a backup of this stack holds, on this host, in a fixed order: by store, then by service.

    Where the stack is spread over several hosts, the names say so: `store/HOST/…`.
    """
    found = [tree.on(config.host) for service in instances(config) for tree in service.trees()]
    return tuple(sorted(found, key=lambda tree: STORES.index(tree.store)))


def folders(config: Config) -> tuple[FolderTree, ...]:
    """The trees that are folders of this host."""
    return tuple(tree for tree in trees(config) if isinstance(tree, FolderTree))


def buckets(config: Config) -> tuple[BucketTree, ...]:
    """The trees that are buckets."""
    return tuple(tree for tree in trees(config) if isinstance(tree, BucketTree))


def trees_of(config: Config, stores: Iterable[str]) -> tuple[Tree, ...]:
    """List the trees of some stores. Raises ConfigError for a name that is no store."""
    wanted = set(stores)
    if unknown := wanted.difference(STORES):
        raise ConfigError(f"There is no store {', '.join(sorted(unknown))}; stores are {', '.join(STORES)}")
    return tuple(tree for tree in trees(config) if tree.store in wanted)


def answers(
    config: Config,
    role: str,
    timeout: float,
    alive: Callable[[], bool] | None = None,
    login: Login | None = None,
) -> None:
    """Wait until a service of this stack answers for real, as `Service.answers` does.

    Raises ConfigError if the stack has none of that role.
    """
    service_of(config, role).answers(timeout, alive, login)


def agrees(
    config: Config,
    role: str,
    timeout: float,
    alive: Callable[[], bool] | None = None,
    login: Login | None = None,
) -> None:
    """Wait until the whole cluster of a service of this stack is there, as `Service.agrees` does.

    Raises ConfigError if the stack has none of that role.
    """
    service_of(config, role).agrees(timeout, alive, login)


def address(config: Config, role: str) -> str:
    """Where a service of this stack answers, as a person writes it. Raises ConfigError if it has none."""
    return service_of(config, role).address
