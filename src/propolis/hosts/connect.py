"""Reaches every host of a run, and has each plan its part. Whatever is wrong with any of them is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propolis import __version__
from propolis.errors import PropolisError
from propolis.hosts.asking import Reach, understood
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


def ask_for_parts(reach: Reach, command: str, options: Mapping[str, Any]) -> dict[str, Part]:
    """What every host would do, without beginning a run. Raises one error that names all that can't take part."""
    wanted = {"command": command, "options": dict(options)}
    replies = reach.ask_all("plan", reach.names, wanted)
    if failures := [reply.error for reply in replies.values() if reply.error is not None]:
        raise together(failures, UNTOUCHED)
    parts = {host: understood(host, reply.value, Part) for host, reply in replies.items()}
    require_agreement(parts)
    return parts


def let_go(context: Coordination) -> None:
    """Have the hosts close what they planned. One that can't be told does so by itself."""
    context.hosts.exchange({host.name: Close(outcome="undone") for host in context.hosts.all if host.is_there})


def _open(context: Coordination) -> list[PropolisError]:
    """Start all links; give why some can't be."""
    failures: list[PropolisError] = []
    for host in context.names:
        try:
            context.hosts.add(host, context.open_link(host))
        except PropolisError as error:
            failures.append(error)
    return failures


def _before_anything(error: PropolisError) -> PropolisError:
    """The error as of a host that has nothing to undo."""
    if isinstance(error, HostLost):
        return error.reason
    return error
