"""Services of this host that are one node of a cluster: its other nodes are on other hosts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from propolis.config.schema import Config
from propolis.errors import PreflightError
from propolis.stack.stack import instances


def clusters(config: Config) -> tuple[str, ...]:
    """The roles of this stack's services that are one node of several."""
    return tuple(service.role for service in instances(config) if service.nodes > 1)


def members(config: Config, running: Iterable[str], command: str) -> dict[str, dict[str, Any]]:
    """What each of them says of its place in its cluster, by role, as plain values: what a coordinator compares.

    Of one that doesn't run or answer that is how many nodes there are; other rules say why. For a restore, it is
    also where nodes will be, and look for others: see `propolis.stack.ring`.
    """
    up, found = set(running), {}
    for service in instances(config):
        if service.nodes == 1:
            continue
        facts = service.told.known() if service.role in up else None
        found[service.role] = {"count": service.nodes, **({} if facts is None else facts.member)}
        if command == "restore" and (ring := service.ring()) is not None:
            found[service.role] |= {"addresses": list(ring.addresses), "seeds": list(ring.seeds)}
    return found


def require_alone(config: Config, command: str) -> None:
    """Refuse to do on one of several hosts what only all of them can do together. Raises PreflightError."""
    if config.lacking and not config.hosts:
        raise PreflightError(
            f"{config.host} has only a part of the stack: its propolis.yaml has no {', '.join(config.lacking)}",
            left="Nothing was changed",
            next=f"Run `{command}` on the host whose propolis.yaml lists all hosts of the stack (`hosts`)",
        )
    for service in instances(config):
        if service.nodes > 1:
            raise PreflightError(
                f"{service.label[:1].upper()}{service.label[1:]} of this host is one of {service.nodes} nodes of its "
                f"cluster: `{command}` on this host alone would separate it from the others",
                left="Nothing was changed",
                next=f"Run `{command}` on the host whose propolis.yaml lists all hosts of the stack (`hosts`)",
            )
