"""The database and the index that TheHive needs where they are on other hosts: known by its own file alone."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from propolis.config.discovery.this_host import split_port
from propolis.config.environment import described
from propolis.config.hocon import read
from propolis.config.schema import Config
from propolis.errors import PropolisError

_SECONDS = 3.0
_SETTINGS = {
    "database": ("db.janusgraph.storage", 9042),
    "index": ("db.janusgraph.index.search", 9200),
}


@dataclass(frozen=True)
class Nodes:
    """Where TheHive looks for one of its stores."""

    service: str
    addresses: tuple[tuple[str, int], ...]

    def listen(self) -> bool:
        """Whether more than half of them accept connections: what a cluster needs at least to serve."""
        with ThreadPoolExecutor(len(self.addresses)) as pool:
            return sum(pool.map(_listens, self.addresses)) * 2 > len(self.addresses)


def elsewhere(config: Config) -> tuple[Nodes, ...]:
    """The stores that TheHive's file names and this host lacks; none if that can't be read."""
    if config.thehive is None or config.host is None:
        return ()
    missing = [name for name in _SETTINGS if getattr(config, name) is None]
    found = []
    for service in missing:
        prefix, usual = _SETTINGS[service]
        try:
            file = config.thehive.config / "application.conf"
            settings = described(config.platform.services / "thehive.yaml")
            hocon = read(file, environment={**os.environ, **(settings or {})})
            port = int(hocon.text(f"{prefix}.port") or usual)
            named = [split_port(part) for text in hocon.texts(f"{prefix}.hostname") for part in text.split(",")]
            addresses = tuple((host, int(own or port)) for host, own in named if host)
        except (PropolisError, OSError, ValueError):
            continue  # then nothing can be waited for, and TheHive tries by itself
        if addresses:
            found.append(Nodes(service, addresses))
    return tuple(found)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=_SECONDS).close()
    except OSError:
        return False
    return True
