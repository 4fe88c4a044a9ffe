"""Reaches every host of a run, and has each plan its part. Whatever is wrong with any of them is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from propolis import __version__
from propolis.errors import PropolisError
from propolis.hosts.coordination import Coordination
from propolis.hosts.rules import require_agreement
from propolis.hosts.words import HostLost, together
from propolis.link.messages import PROTOCOL, Close, Open, Part

UNTOUCHED = "Nothing was changed"


def connect(context: Coordination, command: str, options: Mapping[str, Any], parent: str | None) -> dict[str, Part]:
    """Open a link to every host, and have it plan its part of `command`; its agent then waits for orders.

    Raises one error that names every host that can't take part, and why; then all of them are let go.
    """
    failures = _open(context)
    if not failures:
        orders = {
            host: Open(
                protocol=PROTOCOL,
                propolis=__version__,
                host=host,
                stack=context.config.name,
                run=context.run_id,
                command=command,
                options=dict(options),
                parent=parent,
                silence=context.config.silence,
            )
            for host in context.names
        }
        answers = context.hosts.exchange(orders)
        parts: dict[str, Part] = {}
        for host in context.names:
            answer = answers.given.get(host)
            if isinstance(answer, Part) and answer.host == host:
                parts[host] = answer
            else:
                failures.append(answers.failed.get(host) or PropolisError(f"{host}: its answer is not understood"))
        if not failures:
            try:
                require_agreement(parts)
            except PropolisError as error:
                failures.append(error)
    if failures:
        let_go(context)
        raise together([_before_anything(error) for error in failures], UNTOUCHED)
    return parts


def let_go(context: Coordination) -> None:
    """Have the hosts close what they planned. One that can't be told does so by itself."""
    context.hosts.exchange({host.name: Close(outcome="undone") for host in context.hosts.all if host.is_there})


def _open(context: Coordination) -> list[PropolisError]:
    """Start all links side by side; give why some can't be."""

    def one(host: str) -> PropolisError | None:
        try:
            context.hosts.add(host, context.open_link(host))
        except PropolisError as error:
            return error
        return None

    with ThreadPoolExecutor(len(context.names)) as pool:
        return [error for error in pool.map(one, context.names) if error is not None]


def _before_anything(error: PropolisError) -> PropolisError:
    """The error as of a host that has nothing to undo."""
    if isinstance(error, HostLost):
        return error.reason
    return error
