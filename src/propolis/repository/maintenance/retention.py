"""Which backups stay: a pure function of what is known of them. Times are UTC."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from propolis.config.places import KeepConfig
from propolis.repository.format.entries import BackupId


@dataclass(frozen=True)
class Candidate:
    """What is known of one backup."""

    id: BackupId
    time: datetime.datetime
    """When it was made, as far as that is known."""
    stack: str
    verified: bool = False
    """It passed verification, and no later one found it damaged."""
    bad: bool = False
    """Verification found it damaged."""
    held: bool = False
    unsure: bool = False
    """A mark of it can't be read."""
    doubted: bool = False
    """The clock of its host was wrong."""


@dataclass(frozen=True)
class Decision:
    """Whether a backup stays, and why."""

    id: BackupId
    stack: str
    keep: bool
    reasons: tuple[str, ...]


_PERIODS: tuple[tuple[str, str, Callable[[datetime.datetime], object]], ...] = (
    ("hourly", "hour", lambda time: (time.date(), time.hour)),
    ("daily", "day", lambda time: time.date()),
    ("weekly", "week", lambda time: time.isocalendar()[:2]),
    ("monthly", "month", lambda time: (time.year, time.month)),
    ("yearly", "year", lambda time: time.year),
)


def decide(backups: Iterable[Candidate], keep: KeepConfig, min_verified: int) -> list[Decision]:
    """Decide for every backup, each stack by itself; oldest first.

    Without any rule all stay. Damaged backups, and those that a wrong clock dated, don't take a good one's place:
    rules hold among all backups, among those not known to be damaged, and among those of them whose time isn't in
    doubt. Never go: the newest, the newest undamaged one, the newest of these whose time isn't in doubt, those held,
    the last `min_verified` that passed verification (or, where fewer did, as many of the newest others as are
    missing).
    """
    stacks: dict[str, list[Candidate]] = {}
    for backup in sorted(backups, key=lambda backup: backup.time):  # those of one time stay in the order given
        stacks.setdefault(backup.stack, []).append(backup)
    decisions = [decision for found in stacks.values() for decision in _decide(found, keep, min_verified)]
    return sorted(decisions, key=lambda decision: decision.id)


def _decide(backups: Sequence[Candidate], keep: KeepConfig, min_verified: int) -> list[Decision]:
    newest_first = backups[::-1]
    good = [backup for backup in newest_first if not backup.bad]
    dated = [backup for backup in good if not backup.doubted]
    reasons: dict[BackupId, list[str]] = {backup.id: [] for backup in backups}

    def because(backup: Candidate, reason: str) -> None:
        if reason not in reasons[backup.id]:
            reasons[backup.id].append(reason)

    because(newest_first[0], "the newest")
    if good:
        because(good[0], "the newest that is not known to be damaged")
    if dated and dated[0] is not good[0]:
        because(dated[0], "the newest whose time is not in doubt")
    for backup in backups:
        if backup.held:
            because(backup, "held")
        if backup.unsure:
            because(backup, "one of its marks can't be read")
    # Those whose time is in doubt come last.
    ranked = dated + [backup for backup in good if backup.doubted]
    verified = [backup for backup in ranked if backup.verified][:min_verified]
    for backup in verified:
        because(backup, f"one of the last {min_verified} that passed verification")
    others = [backup for backup in ranked if not backup.verified][: max(0, min_verified - len(verified))]
    for backup in others:
        because(backup, f"only {len(verified)} of {min_verified} passed verification")
    if not any(keep.model_dump().values()):
        for backup in backups:
            because(backup, "there are no retention rules")
    for chosen in (newest_first, good, dated):
        for backup in chosen[: keep.last]:
            because(backup, f"one of the last {keep.last}")
        for rule, unit, period in _PERIODS:
            for backup in _newest_of_each(chosen, period, getattr(keep, rule)):
                because(backup, f"the {unit}'s newest ({rule})")
    none = ("no rule keeps it",)
    return [
        Decision(backup.id, backup.stack, bool(reasons[backup.id]), tuple(reasons[backup.id]) or none)
        for backup in backups
    ]


def _newest_of_each(
    newest_first: Sequence[Candidate], period: Callable[[datetime.datetime], object], count: int
) -> list[Candidate]:
    """The newest backup of each of the last `count` periods that have one."""
    found: dict[object, Candidate] = {}
    for backup in newest_first:
        if len(found) >= count:
            break
        found.setdefault(period(backup.time), backup)
    return list(found.values())
