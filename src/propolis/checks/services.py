"""Rules of the services: do they run, is their version supported, do clocks agree, is TheHive well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from propolis import platform
from propolis.checks.look import Look
from propolis.checks.model import Check
from propolis.config.schema import Config
from propolis.errors import PreflightError, PropolisError
from propolis.platform.base import ServiceState
from propolis.stack.stack import services
from propolis.stack.thehive import embedded
from propolis.stack.thehive import server as thehive

CLOCK_TOLERANCE = 5.0
"""Seconds by which two clocks may differ; an answer's way is part of it."""

THEHIVE = "thehive"
"""The name of the check of its health."""

_SUPPORTED = {
    "cassandra": ("4.0", "4.1", "5.0"),
    "elasticsearch": ("7", "8", "9"),
    "opensearch": ("1", "2", "3"),
}


def running(look: Look) -> Iterator[Check]:
    """Whether the platform says that each service runs."""
    config = look.config
    found = platform.open(config.platform)
    for service in reversed(services(config)):
        name = f"service {service}"
        if service == "thehive" and service not in found.services():
            thehive.require_absent(config.thehive)
            message = f"no such service is configured, and nothing listens at {config.thehive.url}"
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


def thehive_health(look: Look) -> Iterator[Check]:
    """Whether TheHive works, where the platform has it: one that doesn't may not start again once it is stopped."""
    config = look.config.thehive
    if not look.asks("thehive") or "thehive" not in platform.open(look.config.platform).services():
        return
    try:
        found = look.health()
    except PreflightError as error:
        message = error.what
    else:
        version = look.thehive.get().version
        message = f"answers at {config.url}" + (f", version {version}" if version else "") + f" ({found.detail})"
        if found.state != "error":
            yield Check(THEHIVE, "ok" if found.state == "ok" else "warn", message, found.hint)
            return
    if look.force_unhealthy:
        yield Check(THEHIVE, "warn", f"{message}; the backup was taken anyway (--force-unhealthy)")
    else:
        hint = (
            "Fix this first: once stopped, TheHive may not start again. `propolis backup --force-unhealthy` backs "
            "it up anyway"
        )
        yield Check(THEHIVE, "fail", message, hint)


def kept_in_folder(config: Config, store: str) -> Check:
    """Say whether TheHive's own database or index lies in its folder."""
    lacking = embedded.missing(config, store)
    if lacking is not None:
        return Check(store, "fail", lacking, f"Set {store}.folder in propolis.yaml to the folder that TheHive uses")
    return Check(store, "ok", "TheHive runs it itself, in a folder")


def clock(name: str, theirs: datetime) -> Check:
    """Compare a server's clock with this host's: timestamps decide which write wins, and how old a backup is."""
    apart = (theirs - datetime.now(UTC)).total_seconds()
    if abs(apart) <= CLOCK_TOLERANCE:
        return Check(name, "ok", f"agrees with this host's clock within {CLOCK_TOLERANCE:g} s")
    side = "ahead of" if apart > 0 else "behind"
    return Check(
        name,
        "warn",
        f"{abs(apart):.0f} s {side} this host's clock",
        "Set both clocks by NTP before a backup or restore",
    )


def supported(name: str, product: str, version: str) -> Check:
    """Say whether a product's version is one that Propolis is tested with."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    known = _SUPPORTED[product]
    if numbers and (numbers.group(1) in known or numbers.group(0) in known):
        return Check(name, "ok", f"{product} {version}")
    return Check(
        name,
        "fail",
        f"{product} {version} has never been tested; tested versions are {', '.join(known)}",
        "Use a tested version, or ask for support of this one: nobody knows whether such a backup can be restored",
    )
