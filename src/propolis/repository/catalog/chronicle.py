"""In which order backups were made, though a clock was wrong at times.

A backup tells when it ended by its host's clock, which may have been years ahead or at 1970. It also names its
parent, which there was before it; the storage dated its manifest; and it can't be of tomorrow. Where these
contradict each other, as few clocks as possible are taken for wrong. What a wrong clock dated is placed by the other
witnesses: after its parent, before whatever was made from it, and by the storage's date where that fits in between.
"""

from __future__ import annotations

import bisect
import datetime
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TOLERANCE = datetime.timedelta(minutes=5)
"""Clocks that differ by less are not called wrong."""
_MOMENT = datetime.timedelta(seconds=1)
_STAMP = "%Y%m%dT%H%M%SZ"
Doubt = Literal["", "ahead", "behind"]


@dataclass(frozen=True)
class Told:
    """What is told of one backup's time. All times have a time zone."""

    id: str
    claimed: datetime.datetime
    """By its host's clock."""
    stored: datetime.datetime | None = None
    """By the storage's clock; of a copy, when it was copied."""
    parent: str | None = None


@dataclass(frozen=True)
class Placed:
    """A backup in its place."""

    id: str
    time: datetime.datetime
    """When it was made, as far as that can be known."""
    doubt: Doubt = ""
    """How its host's clock was wrong."""
    claimed: datetime.datetime | None = None

    @property
    def remark(self) -> str:
        """What is to be said of its clock; empty when nothing is."""
        if not self.doubt or self.claimed is None:
            return ""
        return (
            f"Backup {self.id} says that it ended at {self.claimed:%Y-%m-%d %H:%M} UTC: its host's clock was "
            f"{self.doubt}. It is placed at {self.time:%Y-%m-%d %H:%M}, by what it was made from and what came after"
        )


def stamp_time(id: str) -> datetime.datetime | None:
    """The time in a backup's ID; None when it holds none."""
    try:
        return datetime.datetime.strptime(id[:16], _STAMP).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None


def is_behind(told: Sequence[Told], created: datetime.datetime | None, now: datetime.datetime) -> bool:
    """Whether this host's clock is behind: before the repository was made, and before most of its backups."""
    later = sum(item.claimed > now + TOLERANCE for item in told)
    return created is not None and now < created - TOLERANCE and later * 2 > len(told)


def order(told: Sequence[Told], created: datetime.datetime | None, now: datetime.datetime) -> list[Placed]:
    """All of them, oldest first; `created`: when the repository was made, by a clock that may have been wrong."""
    ceiling = None if is_behind(told, created, now) else now
    early = [item for item in told if created is not None and item.claimed < created - TOLERANCE]
    if created is not None and (created > now + TOLERANCE or len(early) * 2 > len(told)):
        created = None
    lined = _line_up(told)
    claims = _smoothed(lined)
    possible = [
        item
        for item in lined
        if (ceiling is None or claims[item.id] <= ceiling + TOLERANCE)
        and (created is None or claims[item.id] >= created - TOLERANCE)
    ]
    trusted = {item.id for item in _longest([claims[item.id] for item in possible], possible)}
    return _place(lined, claims, trusted, created, None if ceiling is None else ceiling + TOLERANCE)


def _line_up(told: Sequence[Told]) -> list[Told]:
    """Parents before what was made from them, otherwise by what they claim."""
    known = {item.id: item for item in told}
    children: dict[str, list[Told]] = {}
    ready: list[tuple[datetime.datetime, str]] = []
    for item in told:
        if item.parent in known and item.parent != item.id:
            children.setdefault(str(item.parent), []).append(item)
        else:
            ready.append((item.claimed, item.id))
    heapq.heapify(ready)
    lined: list[Told] = []
    while ready:
        item = known[heapq.heappop(ready)[1]]
        lined.append(item)
        for child in children.pop(item.id, ()):
            heapq.heappush(ready, (child.claimed, child.id))
    # Only forged ones name each other in a circle.
    lined += sorted((child for circle in children.values() for child in circle), key=lambda item: item.claimed)
    return lined


def _smoothed(lined: Sequence[Told]) -> dict[str, datetime.datetime]:
    """What they claim; one a little before an earlier one, as after a clock was set, is put right after it."""
    found: dict[str, datetime.datetime] = {}
    times: list[datetime.datetime] = []
    for item in lined:
        time = item.claimed
        before = bisect.bisect_left(times, time + TOLERANCE)
        if before and times[before - 1] >= time:
            time = times[before - 1] + _MOMENT
        bisect.insort(times, time)
        found[item.id] = time
    return found


def _longest(times: Sequence[datetime.datetime], items: Sequence[Told]) -> list[Told]:
    """The most of them whose times don't decrease. Where it is open which is wrong, it is the one that was before."""
    tails: list[datetime.datetime] = []
    ends: list[int] = []
    before: list[int] = []
    for number, time in enumerate(times):
        place = bisect.bisect_right(tails, time)
        before.append(ends[place - 1] if place else -1)
        tails[place : place + 1] = [time]
        ends[place : place + 1] = [number]
    found = []
    number = ends[-1] if ends else -1
    while number >= 0:
        found.append(items[number])
        number = before[number]
    return found


def _place(
    lined: Sequence[Told],
    claims: dict[str, datetime.datetime],
    trusted: set[str],
    created: datetime.datetime | None,
    ceiling: datetime.datetime | None,
) -> list[Placed]:
    latest: dict[str, datetime.datetime] = {}
    """Before this, each of them was made: by what was made from it."""
    for item in reversed(lined):
        bound = claims[item.id] if item.id in trusted else latest.get(item.id)
        if bound is not None and item.parent is not None:
            latest[item.parent] = min(bound, latest.get(item.parent, bound))
    placed: dict[str, tuple[datetime.datetime, int, Placed]] = {}
    for number, item in enumerate(lined):
        if item.id in trusted:
            placed[item.id] = claims[item.id], number, Placed(item.id, claims[item.id], "", item.claimed)
            continue
        upper = min(filter(None, (latest.get(item.id), ceiling)), default=None)
        lower = placed[item.parent][0] if item.parent in placed else stamp_time(item.parent or "")
        if lower is None or (upper is not None and lower > upper):
            lower = created
        time = _between(item, lower, upper)
        doubt: Doubt = "ahead" if item.claimed > time else "behind"
        placed[item.id] = time, number, Placed(item.id, time, doubt, item.claimed)
    return [place for _, _, place in sorted(placed.values(), key=lambda found: found[:2])]


def _between(item: Told, lower: datetime.datetime | None, upper: datetime.datetime | None) -> datetime.datetime:
    stored = item.stored
    if stored is not None and (lower is None or lower <= stored) and (upper is None or stored <= upper):
        return stored
    if lower is not None:
        return lower + _MOMENT if upper is None else min(lower + _MOMENT, upper)
    return upper - _MOMENT if upper is not None else item.claimed
