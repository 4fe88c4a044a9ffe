"""The rule that services run; rules of their own are asked of each (`Service.rules`)."""

from __future__ import annotations

from collections.abc import Iterator

from propolis.checks.look import Look
from propolis.errors import PropolisError
from propolis.platform import open_platform
from propolis.platform.base import ServiceState
from propolis.stack.rules import Check
from propolis.stack.stack import services
from propolis.stack.thehive import server as thehive


def running(look: Look) -> Iterator[Check]:
    """Whether the platform says that each service runs."""
    config = look.config
    found = open_platform(config.platform)
    for service in reversed(services(config)):
        name = f"service {service}"
        if service == "thehive" and service not in found.services():
            section = config.require_thehive()
            thehive.require_absent(section)
            message = f"no such service is configured, and nothing listens at {section.url}"
            yield Check(
                name,
                "warn",
                message,
                "If TheHive runs on this host, configure its service, so that a backup can stop it",
            )
            continue
        try:
            state = found.state(service)
        except PropolisError as error:
            yield Check(name, "fail", error.what, error.next)
            continue
        if state is ServiceState.RUNNING:
            yield Check(name, "ok", "running")
        else:
            message = "not running, so it could not be checked" if look.command == "backup" else "not running"
            yield Check(name, "fail", message, "Start it; if a run was interrupted, `propolis recover` does that")
