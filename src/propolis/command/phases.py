"""The phases of every command, in one total order: so steps of several hosts are done at the right time.

The steps of one host's plan come in this order anyway. Those of several hosts are done phase by phase, and side by
side within one (`propolis.hosts.weave`).
"""

from __future__ import annotations

from propolis.stack.index.service import Index
from propolis.stack.stack import SERVICES, START_WAVES, STOP_ORDER, all_with_dependents


def stop(service: str) -> str:
    """When a service stops."""
    return f"stop:{service}"


def start(service: str) -> str:
    """When a service starts: with all of its wave, on every host."""
    return f"start:{_wave(service)}"


def wait(service: str) -> str:
    """When it has to answer: once all of its wave were started."""
    return f"wait:{_wave(service)}"


def agree(service: str) -> str:
    """When all of its cluster have to agree: once each of them answers."""
    return f"agree:{_wave(service)}"


def _wave(service: str) -> int:
    return next(number for number, wave in enumerate(START_WAVES) if service in wave)


_INDICES = {kind.role for kind in SERVICES if issubclass(kind, Index)}

_WRITERS = {"thehive"} | all_with_dependents(_INDICES) - _INDICES

WRITERS = tuple(role for role in STOP_ORDER if role in _WRITERS)
"""Services that may write to an index: they stop before its documents are counted."""

_BEFORE_THEHIVE = ("password", "compare", "unblock")
"""What a restore does once the stores answer."""

PHASES = (
    "begin",
    "check",
    "open",
    "ahead",
    "stage",
    "others",
    "promise",
    "reserve",
    *(stop(role) for role in WRITERS),
    "count",
    *(stop(role) for role in STOP_ORDER if role not in WRITERS),
    "clone",
    "list",
    "drained",
    "replace",
    "objects",
    *(
        phase
        for number, wave in enumerate(START_WAVES)
        for phase in (
            *(_BEFORE_THEHIVE if "thehive" in wave else ()),
            f"start:{number}",
            f"wait:{number}",
            f"agree:{number}",
        )
    ),
    "prepare",
    "verdict",
    "accept",
    "release",
    "store",
    "seal",
    "record",
    "drop",
    "forget",
    "end",
)
"""Every phase, of backups and restores alike, in order."""

RANK = {phase: number for number, phase in enumerate(PHASES)}
"""Where each comes."""
