"""What lies in the folders of Elasticsearch or OpenSearch, and how their files behave."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from propolis.config.discovery.index import Settings, file_in
from propolis.config.discovery.this_host import ANY_ADDRESS
from propolis.config.environment import with_host_name
from propolis.config.schema import IndexServerConfig
from propolis.errors import ConfigError
from propolis.stack.ring import Ring, ring


def ring_of(config: IndexServerConfig) -> Ring | None:
    """Where the node will be, and where it looks for others, as its own file has it; None where that doesn't tell."""
    try:
        file = file_in(config.config)
        settings = Settings(file, with_host_name(dict(os.environ)))
        if settings.get("discovery.seed_providers") is not None:
            return None
        found = settings.get("discovery.seed_hosts")
        addresses = [settings.get(name) for name in _ADDRESSES]
    except ConfigError:
        return None
    seeds = [] if found is None else found.value if isinstance(found.value, list) else str(found.value).split(",")
    named = [str(one.value) for one in addresses if one is not None and not isinstance(one.value, list)]
    own = [name for name in named if name and not name.startswith("_") and name not in ANY_ADDRESS]
    return ring([urlsplit(config.url).hostname or "", *own], (str(seed) for seed in seeds if str(seed).strip()))


_ADDRESSES = ("transport.publish_host", "network.publish_host", "transport.host", "network.host")


def immutable(path: str) -> bool:
    """Say of a file in a stopped node's data folder whether it never changes in place (an `Immutable` rule).

    Lucene writes each file once; Elasticsearch and OpenSearch replace their state files by new ones and give each
    translog generation a new file. Changed in place, already by a bare restart, is only `translog.ckp`; a linked
    `node.lock` or `write.lock` keeps a second node from starting. Measured on Elasticsearch 7.17, 8.19, 9.5 and
    OpenSearch 2.19, 3.6 over restart, writes, deletes, merges and settings changes.
    """
    name = path.rsplit("/", 1)[-1]
    return _WRITTEN_ONCE.fullmatch(name) is not None


_WRITTEN_ONCE = re.compile(
    r"""
    _[0-9a-z]+ (_[0-9A-Za-z_]+)? \.[a-z0-9]+   # Lucene: _4f.cfs, _4f_1.liv, _4f_Lucene90_0.dvd
    | segments_[0-9a-z]+                       # Lucene's commit points
    | translog-[0-9]+\.(tlog|ckp)              # closed generations; not translog.ckp
    | [a-z]+(-[a-z]+)*-[0-9]+\.st              # state-3.st, retention-leases-7.st, node-1.st, manifest-2.st
    """,
    re.VERBOSE,
)
