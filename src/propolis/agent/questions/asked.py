"""A question as a host has it: what was asked, and the host's own configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propolis.config.load import load
from propolis.config.schema import Config
from propolis.errors import PreflightError
from propolis.link.messages import Ask
from propolis.run import Observer


@dataclass(frozen=True)
class Asked:
    """A question, and where this host's configuration is."""

    ask: Ask
    file: Path
    observer: Observer

    @property
    def options(self) -> Mapping[str, Any]:
        """What belongs to the question."""
        return self.ask.options

    def config(self) -> Config:
        """This host's configuration. Raises ConfigError, and PreflightError where it is of another host or stack."""
        return own_config(self.file, self.ask.host, self.ask.stack)


def own_config(file: Path, host: str, stack: str) -> Config:
    """This host's configuration. Raises ConfigError, and PreflightError where it is not of this host or stack."""
    config = load(file)
    if config.host != host:
        called = f"is called {config.host}" if config.host else "has no name (`host`)"
        raise PreflightError(
            f"This host {called} in its {file}, but {host} on its coordinator",
            left="Nothing was changed",
            next=f"Set `host: {host}` there, or correct `hosts` on the coordinator",
        )
    if config.name != stack:
        raise PreflightError(
            f"This host's {file} is of the stack {config.name}, but its coordinator's of {stack}",
            left="Nothing was changed",
            next="Give both the same `name`",
        )
    return config
