"""What a rule is, and what it comes back with: doctor, backup and restore ask the same ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Literal, Protocol, TypeVar

from propolis.errors import PropolisError

Result = Literal["ok", "warn", "fail"]

Command = Literal["doctor", "backup", "restore"]
"""Commands that ask rules."""

CLOCK_TOLERANCE = 5.0
"""Seconds by which two clocks may differ; an answer's way is part of it."""

T = TypeVar("T", covariant=True)
L = TypeVar("L", contravariant=True)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    `fail` means that a backup or restore would fail or be incomplete, `warn` that somebody should know.
    `hint` says what to do; it is empty where nothing is to be done.
    """

    name: str
    result: Result
    message: str
    hint: str = ""


class Asking(Protocol):
    """A look at a stack, as the rules of a service use it."""

    @property
    def force_unhealthy(self) -> bool:
        """Whether a TheHive that isn't healthy stops nothing."""

    @property
    def wait(self) -> Callable[[str], object]:
        """Wait for a service to answer for real. Raises PreflightError."""

    def asks(self, service: str) -> bool:
        """Whether rules of this service are asked: a command leaves out what doesn't run, and says so."""

    def has(self, service: str) -> bool:
        """Whether the platform knows it."""


@dataclass(frozen=True)
class Rule(Generic[L]):
    """One thing to look at, and what a failure means to whom.

    `stops` are the commands that end with it, before anything is touched; to those in `warns` it is a warning.
    `doctor` asks every rule.
    """

    name: str
    look: Callable[[L], Iterator[Check]]
    stops: tuple[Command, ...] = ()
    warns: tuple[Command, ...] = ()

    def concerns(self, command: Command) -> bool:
        """Whether the command asks it."""
        return command == "doctor" or command in self.stops or command in self.warns


class Once(Generic[T]):
    """A question that is asked once: whoever asks again gets the same answer, or the same error."""

    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._answer: T | None = None
        self._error: PropolisError | None = None
        self._asked = False

    def get(self) -> T:
        """Give the answer; raises the PropolisError that asking raised."""
        if not self._asked:
            self._asked = True
            try:
                self._answer = self._question()
            except PropolisError as error:
                self._error = error
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def known(self) -> T | None:
        """Give the answer, or None where there is none; another rule says why."""
        try:
            return self.get()
        except PropolisError:
            return None


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


def counted(name: str, setting: str, configured: int, seen: int, addresses: str = "") -> Iterator[Check]:
    """Refuse a cluster that has more nodes than are configured: their data is a part of it, too.

    Of fewer, another rule says that it isn't whole; a restore may be what it needs.
    """
    among = f" ({addresses})" if addresses and seen > 1 else ""
    if seen == configured:
        yield Check(name, "ok", "one, which holds all data" if seen == 1 else f"{seen}{among}")
    elif seen > configured:
        alone = "; a single one doesn't hold all of its data" if configured == 1 else ""
        yield Check(
            name,
            "fail",
            f"the cluster has {seen} nodes{among}, but {setting} of propolis.yaml is {configured}{alone}",
            f"Set {setting} to {seen}, and list the hosts of all nodes in `hosts` of the coordinator's propolis.yaml",
        )


def running(role: str, nodes: int, look: Asking) -> Iterator[Check]:
    """Refuse a node of a cluster that doesn't run: what it would say of its cluster is part of what is backed up."""
    if nodes > 1 and not look.asks(role):
        yield Check(
            f"{role} member",
            "fail",
            f"its node on this host is not running; it is one of {nodes}, which are backed up together or not at all",
            "Start it, and wait until its cluster is whole",
        )


def supported(name: str, release: str, versions: Mapping[str, tuple[str, ...]]) -> Check:
    """Say whether a release such as `cassandra 4.1.10` is one of the `versions` that Propolis is tested with."""
    product, _, version = release.partition(" ")
    numbers = re.match(r"(\d+)\.(\d+)", version)
    known = versions[product]
    if numbers and (numbers.group(1) in known or numbers.group(0) in known):
        return Check(name, "ok", release)
    return Check(
        name,
        "fail",
        f"{release} has never been tested; tested versions are {', '.join(known)}",
        "Use a tested version, or ask for support of this one: nobody knows whether such a backup can be restored",
    )
