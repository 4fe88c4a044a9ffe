"""Rules of the configuration: are the servers here those that TheHive's own file names."""

from __future__ import annotations

from collections.abc import Iterator

from propolis.checks.look import Look
from propolis.config import agreement
from propolis.errors import ConfigError
from propolis.stack.rules import Check


def this_host(look: Look) -> Iterator[Check]:
    """Whether the servers are on this host: nothing here can stop or clone others."""
    hint = "Run Propolis on that host, or correct propolis.yaml"
    wrong = [Check("hosts", "fail", text, hint) for text in agreement.elsewhere(look.config)]
    yield from wrong or [Check("hosts", "ok", "all servers are on this host")]


def agree(look: Look) -> Iterator[Check]:
    """Whether propolis.yaml has the stores that TheHive's own file names, on the host that has TheHive."""
    if look.config.thehive is None and look.config.cortex is None:
        return
    try:
        found = agreement.disagreements(look.config)
    except ConfigError as error:
        message = f"TheHive's own settings could not be compared with propolis.yaml: {error.what}"
        yield Check("settings", "warn", message, error.next)
        return
    hint = "Correct propolis.yaml, or create it again with `propolis init`"
    wrong = [Check("settings", "fail", text, hint) for text in found]
    yield from wrong or [Check("settings", "ok", "propolis.yaml and TheHive's own file name the same stores")]
