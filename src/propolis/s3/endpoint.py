"""An S3 server: how to reach it, and how patiently. Values, which load no client."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Endpoint:
    """An S3 server, and how to log in to it."""

    url: str | None = None
    """None: AWS."""
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    ca: Path | None = None
    """PEM file of authorities to trust besides the system's."""

    def __str__(self) -> str:
        return self.url or "AWS"

    @property
    def is_plain(self) -> bool:
        """Whether it is spoken to without TLS."""
        return self.url is not None and self.url.startswith("http://")


GROWTH = 3
"""Each wait is at most this many times the one before."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for an S3 server, and how often to try again what may well succeed a moment later.

    Waits between tries grow from `first_wait` to `longest_wait`, at random up to threefold; all in seconds. The
    default bridges half a minute or so: a server's restart. The whole of a repeated request must stay below the 15
    minutes for which its signature holds.
    """

    retries: int = 10
    first_wait: float = 0.5
    longest_wait: float = 10.0
    total: float = 180.0
    """No further try after so long."""
    connect: float = 10.0
    silence: float = 120.0
    """Longest wait for an answer or its next bytes. A part or pack is sent within it too, so it sets the slowest
    usable line: 16 MiB in two minutes."""

    def waits(self) -> Iterator[float]:
        """The waits between tries."""
        wait = self.first_wait
        for _ in range(self.retries):
            yield wait
            wait = min(self.longest_wait, random.uniform(self.first_wait, wait * GROWTH))


PATIENT = Patience()
