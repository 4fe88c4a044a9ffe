"""Asking hosts something that needs no plan, side by side: one that can't be reached is named, never left out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from propolis import __version__
from propolis.config.schema import Config
from propolis.errors import PreflightError, PropolisError
from propolis.hosts.words import clean, error_of
from propolis.link.messages import PROTOCOL, Answer, Ask, Failed, FromAgent, Note, ToAgent
from propolis.link.program import Program, open_link
from propolis.run import Observer

T = TypeVar("T")

SECONDS = 120.0
"""Longest wait for an answer, unless somebody has to wait longer; a host that says nothing is lost much earlier."""


@dataclass(frozen=True)
class Reply:
    """What a host answered, or why it didn't."""

    value: Any = None
    error: PropolisError | None = None


class Reach:
    """How the hosts of a stack are reached. `file` is this host's configuration, which its own agent reads, too."""

    def __init__(self, config: Config, file: Path) -> None:
        self.config = config
        self.file = file

    @property
    def names(self) -> tuple[str, ...]:
        """What the hosts are called, the coordinator's own first."""
        return (self.config.host or "", *self.config.hosts)

    def argv(self, host: str) -> tuple[str, ...]:
        """The command that leads to a host's agent: this host's own is reached as all others."""
        if host == self.config.host:
            return (sys.executable, "-m", "propolis", "agent", "--config", str(self.file))
        return self.config.hosts[host].argv

    def open_link(self, host: str) -> Program[ToAgent, FromAgent]:
        """Start what leads to a host's agent. Raises PropolisError."""
        return open_link(self.argv(host), host, self.config.silence)

    def question(self, host: str, question: str, options: Mapping[str, Any] | None = None) -> Ask:
        """What asks a host something that needs no plan."""
        return Ask(
            protocol=PROTOCOL,
            propolis=__version__,
            host=host,
            stack=self.config.name,
            question=question,
            options=dict(options or {}),
        )

    def ask(
        self,
        host: str,
        question: str,
        options: Mapping[str, Any] | None = None,
        *,
        observer: Observer | None = None,
        seconds: float | None = None,
    ) -> Any:
        """Ask one host and give its answer: plain values, whose texts are safe to show. Raises PropolisError."""
        seconds = SECONDS if seconds is None else seconds
        deadline = time.monotonic() + seconds
        with self.open_link(host) as link:
            link.send(self.question(host, question, options))
            while True:
                left = deadline - time.monotonic()
                message = link.receive(left) if left > 0 else None
                if message is None:
                    link.cut()
                    raise PreflightError(
                        f"The host {host} does not answer: it took longer than {seconds:g} s",
                        next="Check what it is doing, then try again",
                    )
                if isinstance(message, Failed):
                    raise error_of(host, message)
                if isinstance(message, Answer):
                    return _clean(message.value)
                if isinstance(message, Note) and observer is not None:
                    observer.note(f"{host}: {clean(message.text)}")

    def ask_all(
        self,
        question: str,
        hosts: Iterable[str] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        observer: Observer | None = None,
        seconds: float | None = None,
    ) -> dict[str, Reply]:
        """Ask hosts side by side (all others, if none are named) and give what each replied, in that order."""
        asked = tuple(self.config.hosts if hosts is None else hosts)

        def one(host: str) -> Reply:
            try:
                return Reply(self.ask(host, question, options, observer=observer, seconds=seconds))
            except PropolisError as error:
                return Reply(error=error)

        with ThreadPoolExecutor(max(1, len(asked))) as pool:
            return dict(zip(asked, pool.map(one, asked), strict=True))


def coordinator_state(config: Config) -> Path:
    """Where the coordinator keeps its lock and its journals, beside those of its own host's part."""
    return config.state / "coordinator"


def understood(host: str, value: Any, kind: type[T]) -> T:
    """An answer as what it is to be. Raises PreflightError for anything else: nothing over a link is trusted."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise PreflightError(f"What the host {host} answered is not understood: {clean(str(error))}") from None


def _clean(value: Any) -> Any:
    """The same with every text made safe to show."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): _clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(part) for part in value]
    return value
