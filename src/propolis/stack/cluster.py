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


def members(config: Config, running: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What each of them that runs says of its place in its cluster, by role: what a coordinator compares.

    See `Facts.member`. Raises PreflightError if one doesn't answer.
    """
    up = set(running)
    return {
        service.role: {**service.told.get().member, "count": service.nodes}
        for service in instances(config)
        if service.nodes > 1 and service.role in up
    }


def require_alone(config: Config, command: str) -> None:
    """Refuse to do to one node what only all of its cluster can do together. Raises PreflightError."""
    for service in instances(config):
        if service.nodes > 1:
            raise PreflightError(
                f"{service.label[:1].upper()}{service.label[1:]} of this host is one of {service.nodes} nodes of its "
                f"cluster: `{command}` on this host alone would separate it from the others",
                left="Nothing was changed",
                next=f"Run `{command}` on the host whose propolis.yaml lists all hosts of the stack (`hosts`)",
            )
