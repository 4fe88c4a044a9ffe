"""Asking Cortex: does it answer, does a login work, which version is it.

`/api/status` is open to everybody and answers whatever its index does; only a login needs the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from propolis.config import secrets
from propolis.config.schema import CortexConfig
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.asking.retry import Alive, NotYet, Refused, until
from propolis.stack.model import Facts

_STATUS = "/api/status"
_WHO_AM_I = "/api/user/current"


@dataclass(frozen=True)
class CortexFacts(Facts):
    """What Cortex says of itself; the version is empty where it tells none."""

    version: str

    @property
    def release(self) -> str:
        """Product and version."""
        return f"cortex {self.version}" if self.version else ""


def answers(config: CortexConfig, timeout: float, alive: Alive | None = None) -> None:
    """Wait until Cortex answers, and takes the API key where propolis.yaml refers to one.

    Raises PreflightError when `timeout` seconds have passed, when it isn't `alive` any more, or when it has refused
    the key for some seconds; ConfigError if the key can't be had.
    """
    key = None if config.api_key is None else secrets.resolve(config.api_key)

    def attempt(left: float) -> None:
        try:
            _version(config, min(left, 10.0))
            if key is not None:
                with HttpClient(config.url, bearer=key, timeout=min(left, 10.0)) as client:
                    client.get(_WHO_AM_I)
        except HttpFailure as failure:
            raise (Refused if failure.status in (401, 403) else NotYet)(str(failure)) from None

    until(attempt, _name(config), timeout, alive)


def facts(config: CortexConfig) -> CortexFacts:
    """Ask for the version. Raises PreflightError if Cortex doesn't answer."""
    try:
        return CortexFacts(_version(config, 10.0))
    except HttpFailure as failure:
        raise failure.as_preflight(_name(config)) from None


def _version(config: CortexConfig, timeout: float) -> str:
    with HttpClient(config.url, timeout=timeout) as client:
        answer: Any = client.get(_STATUS)
    if not isinstance(answer, dict):
        raise HttpFailure("its answer is not a JSON object")
    versions = answer.get("versions")
    version = versions.get("Cortex") if isinstance(versions, dict) else None
    return version if isinstance(version, str) else ""


def _name(config: CortexConfig) -> str:
    return f"Cortex at {config.url}"
