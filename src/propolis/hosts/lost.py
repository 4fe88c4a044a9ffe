"""A host that was lost undoes its part of a run by itself; here it is seen back.

It is asked to recover over a new link. The answer counts, since it was given under that host's own lock: so neither
the agent that was lost nor its watchdog can still be at work there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from propolis.command.waiting import patiently
from propolis.errors import BusyError, PropolisError, ServicesDownError
from propolis.hosts.host import Link
from propolis.hosts.words import HostLost, error_of, kind_of
from propolis.link.messages import Answer, Ask, Beat, Failed, Note, Progress
from propolis.run import Observer

PAUSE = 1.0
"""Seconds between two attempts."""


@dataclass(frozen=True)
class Return:
    """Which host, and how long it is waited for."""

    host: str
    open_link: Callable[[str], Link]
    question: Ask
    silence: float
    since: float | None
    """When it was last known to be there, by the monotonic clock; None: the run's process is gone anyway."""
    start: float
    """Seconds that its services may take to start."""
    is_owed: bool
    """Whether it has stopped services, or was about to."""
    otherwise: str = ""
    """What to do if it is gone for good."""


def see_back(wanted: Return, observer: Observer) -> None:
    """Have it recover.

    Its own guard acts after `silence` seconds, so it is given twice that until it can be reached; if another recovery
    is at work there, as long as services may take to start. Raises ServicesDownError if it was about to stop any.
    """
    moment = time.monotonic() if wanted.since is None else wanted.since
    guarded = moment + 2 * wanted.silence
    with patiently(observer, f"{wanted.host} to recover"):
        while True:
            error = _ask(wanted)
            if error is None:
                return
            # Busy: somebody is at work there, its lost agent until its watchdog ends it, or the watchdog itself.
            deadline = guarded + wanted.start if isinstance(error, BusyError) else guarded
            if time.monotonic() >= deadline or not isinstance(error, BusyError | HostLost):
                break
            time.sleep(min(PAUSE, wanted.silence / 10))
    if isinstance(error, ServicesDownError):
        raise error
    again = f"Run `propolis recover` on {wanted.host}, then here"
    next = f"{again}. {wanted.otherwise}" if wanted.otherwise else again
    if wanted.is_owed:
        raise ServicesDownError(
            f"It is not known whether the services of {wanted.host} are running: {error.what}", next=next
        ) from error
    reason = error.reason if isinstance(error, HostLost) else error
    raise kind_of(reason.exit_code)(error.what, left=error.left, next=next) from error


def _ask(wanted: Return) -> PropolisError | None:
    try:
        link = wanted.open_link(wanted.host)
    except PropolisError as error:
        return HostLost(error)
    try:
        link.send(wanted.question)
        while isinstance(message := link.receive(), Note | Progress | Beat):
            pass
    except PropolisError as error:
        return HostLost(error)
    finally:
        link.close()
    if isinstance(message, Failed):
        return error_of(wanted.host, message)
    if isinstance(message, Answer):
        return None
    return PropolisError(f"{wanted.host}: what it answered is not understood")
