"""Asking TheHive: does it answer, which version is it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from propolis.config.schema import TheHiveConfig
from propolis.errors import PreflightError
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.asking.retry import Alive, NotYet, Refused, until
from propolis.stack.model import Facts
from propolis.stack.thehive.health import Health, ask, status

REFUSED_LOGIN_PATIENCE = 10.0
"""Seconds for which a refused login is tried again while TheHive calls itself well: it is, so no longer."""


@dataclass(frozen=True)
class TheHiveFacts(Facts):
    """What TheHive says of itself; the version is empty where it tells none without login."""

    version: str

    @property
    def release(self) -> str:
        """The version."""
        return self.version


class NeverListens(Exception):
    """TheHive runs, doesn't listen and never will: it gave up on its stores. Only a restart helps."""


def answers(
    config: TheHiveConfig, timeout: float, alive: Alive | None = None, hopeless: Callable[[], bool] | None = None
) -> Health:
    """Wait until TheHive answers and works (`propolis.stack.thehive.health`); give what it said, `ok` or `warning`.

    Raises PreflightError when `timeout` seconds have passed, when it isn't `alive` any more, or when it refuses the
    configured login for some seconds and doesn't call itself well; NeverListens as soon as it is `hopeless`, which is
    asked only while nothing listens at its address.
    """
    found: list[Health] = []
    refused_since: list[float] = []

    def attempt(left: float) -> None:
        try:
            now = ask(config, min(left, 10.0))
        except HttpFailure as failure:
            if hopeless is not None and _listener(config) == "nobody" and hopeless():
                raise NeverListens from None
            raise NotYet(str(failure)) from None
        if now.state == "error" and now.login_refused:
            raise Refused(now.detail)
        if now.state == "error":
            raise NotYet(f"it answers, but does not work ({now.detail})")
        if now.login_refused:
            refused_since.append(time.monotonic())
            if refused_since[-1] - refused_since[0] < min(REFUSED_LOGIN_PATIENCE, timeout / 2):
                raise NotYet(now.detail)
        found.append(now)

    until(attempt, f"TheHive at {config.url}", timeout, alive)
    return found[-1]


def require_absent(config: TheHiveConfig) -> None:
    """Make sure that nothing listens at TheHive's address. Raises PreflightError unless that is certain.

    For a platform that has no such service: a TheHive that can't be stopped would write while its stores are cloned.
    """
    listener = _listener(config)
    if listener == "nobody":
        return
    found = (
        f"something answers at {config.url}"
        if listener == "somebody"
        else f"whether one runs at {config.url} can't be determined: {listener}"
    )
    raise PreflightError(
        f"The platform has no service `thehive` that could be stopped, but {found}",
        left="Nothing was changed",
        next="Configure TheHive's service; `propolis doctor` shows which services are known",
    )


def _listener(config: TheHiveConfig) -> str:
    """Who listens at TheHive's address: `nobody`, `somebody`, or the reason why that can't be determined."""
    address = urlsplit(config.url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=10.0).close()
    except ConnectionRefusedError:
        return "nobody"
    except OSError as error:
        return str(error)
    return "somebody"


def facts(config: TheHiveConfig) -> TheHiveFacts:
    """Ask for the version. Raises PreflightError if TheHive doesn't answer."""
    with HttpClient(config.url, timeout=10.0) as client:
        try:
            answer = status(client)
        except HttpFailure as failure:
            raise failure.as_preflight(f"TheHive at {config.url}") from None
    versions = answer.get("versions") if isinstance(answer, dict) else None
    if isinstance(versions, dict):
        for key in ("TheHive", "Scalligraph"):
            if isinstance(versions.get(key), str):
                return TheHiveFacts(versions[key])
    version = answer.get("version") if isinstance(answer, dict) else None
    return TheHiveFacts(version if isinstance(version, str) else "")
