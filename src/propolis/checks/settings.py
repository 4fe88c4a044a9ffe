"""Rules of the configuration: are the servers here those that TheHive's own file names."""

from __future__ import annotations

from collections.abc import Iterator

from propolis.checks.look import Look
from propolis.checks.model import Check
from propolis.config import agreement
from propolis.errors import ConfigError


def this_host(look: Look) -> Iterator[Check]:
    """Whether the servers are on this host: nothing here can stop or clone others."""
    hint = "Run Propolis on that host, or correct propolis.yaml"
    wrong = [Check("hosts", "fail", text, hint) for text in agreement.elsewhere(look.config)]
    yield from wrong or [Check("hosts", "ok", "all servers are on this host")]


def agree(look: Look) -> Iterator[Check]:
    """Whether propolis.yaml has the stores that TheHive's own file names."""
    try:
        found = agreement.disagreements(look.config)
    except ConfigError as error:
        message = f"TheHive's own could not be compared with propolis.yaml: {error.what}"
        yield Check("settings", "warn", message, error.next)
        return
    hint = "Write propolis.yaml anew with `propolis init`, or correct it"
    wrong = [Check("settings", "fail", text, hint) for text in found]
    yield from wrong or [Check("settings", "ok", "TheHive's own file names the same stores")]
