"""`propolis clean`: dropping former data that restores keep, when its time is over or when somebody says so."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from propolis.command.kept.dropping import drop
from propolis.command.kept.record import Kept, find, records
from propolis.config.schema import Config
from propolis.errors import Interrupted, PropolisError
from propolis.run import Observer, StackLock, Telling
from propolis.run.interrupts import Interrupts


@dataclass(frozen=True)
class CleanReport:
    """What was dropped, oldest first, what was no longer there of it, and what is still kept."""

    dropped: tuple[Kept, ...]
    missing: tuple[str, ...]
    kept: tuple[Kept, ...]
    unreadable: tuple[str, ...]
    """Why records can't be read: what those keep is left alone."""


def to_clean(state: Path, run: str = "", *, everything: bool = False) -> tuple[Kept, ...]:
    """What would be dropped: that of one run, `everything`, or what has been kept for its time. Changes nothing."""
    if run:
        return (find(state, run),)
    now = datetime.datetime.now(datetime.UTC)
    return tuple(kept for kept in records(state).kept if everything or kept.is_due(now))


def clean(
    config: Config,
    observer: Observer,
    recover_first: Callable[[Path, Observer], object],
    run: str = "",
    *,
    everything: bool = False,
) -> CleanReport:
    """Drop it, as the only run on this stack. May be interrupted or killed, and repeated.

    Raises BusyError, and the first failure once all was tried; what failed stays on record.
    """
    interrupts = Interrupts()
    dropped: list[Kept] = []
    missing: list[str] = []
    failures: list[PropolisError] = []
    with StackLock(config.state), interrupts.active(), Telling(observer) as told:
        with interrupts.shield():
            recover_first(config.state, told)
        for kept in to_clean(config.state, run, everything=everything):
            try:
                missing += drop(config, kept)
                dropped.append(kept)
            except Interrupted:
                raise
            except PropolisError as error:
                failures.append(error)
        left = records(config.state)
    if failures:
        raise failures[0]
    return CleanReport(tuple(dropped), tuple(missing), left.kept, left.unreadable)
