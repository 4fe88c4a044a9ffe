"""Where a node of a cluster is, and where it will look for the others: as its own configuration file says.

Restored data has the identity of nodes that may still run elsewhere. If the file led a restored node to those, they
would take it for one of theirs, or give their place to it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from propolis.config.discovery.this_host import split_port
from propolis.stack.rules import Check

_OWN = frozenset({"127.0.0.1", "::1"})
"""Whoever looks there looks for itself."""


@dataclass(frozen=True)
class Ring:
    """Numeric addresses, and names that can't be resolved here."""

    addresses: tuple[str, ...]
    """At which others find this node."""
    seeds: tuple[str, ...]
    """At which it looks for others; none: only for itself."""


def ring(addresses: Iterable[str], seeds: Iterable[str]) -> Ring:
    """Make one of names or addresses; those of `seeds` may have ports."""
    here = {found for name in addresses for found in _resolved(name)}
    sought = {found for seed in seeds for found in _resolved(split_port(seed)[0])}
    return Ring(tuple(sorted(here)), tuple(sorted(sought - _OWN)))


def told(role: str, found: Ring | None) -> Iterator[Check]:
    """Say of a node of a cluster when its file doesn't tell: then nobody compares it with the other hosts."""
    if found is None:
        yield Check(
            f"{role} seeds",
            "warn",
            "its configuration file doesn't tell where it looks for other nodes, so this was not compared with the "
            "hosts of the restore",
            "Make sure that it can't find the cluster that the backup is of, if that still runs",
        )


def _resolved(name: str) -> set[str]:
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(name.strip(), None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return {name.strip().lower()}
