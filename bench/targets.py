"""What the repository's engine must reach beside its peers, and whether it does."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.measure import Measurement

OURS = "propolis"
Quantity = Literal["seconds", "cpu", "size", "peak"]
MB = 1_000_000


@dataclass(frozen=True)
class Target:
    """A quantity of ours must be at most `limit` times a peer's; without a peer, at most `limit` itself."""

    text: str
    operation: str
    quantity: Quantity
    limit: float
    peer: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What was measured for a target: a ratio to the peer, or the quantity itself; median, least, most."""

    target: Target
    median: float
    least: float
    most: float

    @property
    def met(self) -> bool:
        """Whether the median is within the limit; of a peak, every one must be."""
        return (self.most if self.target.peer is None else self.median) <= self.target.limit


def _peaks(limit: int, *operations: str) -> tuple[Target, ...]:
    return tuple(Target(f"{name}: ≤ {limit} MB at the peak", name, "peak", limit * MB) for name in operations)


DEPLOYMENT = (
    Target("full: ≥ 2 × restic's speed", "full", "seconds", 0.5, "restic"),
    Target("full: ≤ 0.5 × restic's CPU seconds", "full", "cpu", 0.5, "restic"),
    Target("full: ≤ 1.3 × the time of `tar | zstd -1 | age`", "full", "seconds", 1.3, "tar"),
    Target("nochange: ≤ 0.5 × restic's time", "nochange", "seconds", 0.5, "restic"),
    Target("new: ≤ 0.5 × restic's time", "new", "seconds", 0.5, "restic"),
    Target("verify: ≤ 0.5 × the time of restic check --read-data", "verify", "seconds", 0.5, "restic"),
    Target("restore: ≤ 0.5 × restic's time", "restore", "seconds", 0.5, "restic"),
    Target("restore: ≤ 1.3 × the time of `cp -r`", "restore", "seconds", 1.3, "cp"),
    Target("full: ≤ 1.03 × restic's size", "full", "size", 1.03, "restic"),
    Target("new: ≤ 1.03 × restic's size", "new", "size", 1.03, "restic"),
    *_peaks(256, "full", "nochange", "verify", "restore", "new", "prune"),
)
SMALL_FILES = (
    Target("nochange: ≤ restic's time", "nochange", "seconds", 1.0, "restic"),
    *_peaks(400, "full", "nochange", "verify", "restore"),
)


def outcome(target: Target, measured: Sequence[Measurement]) -> Outcome | None:
    """Compare what was measured in one place, round by round; None where nothing can be compared."""
    ours = _by_round(measured, target, OURS)
    if target.peer is None:
        values = list(ours.values())
    else:
        theirs = _by_round(measured, target, target.peer)
        values = [ours[round] / theirs[round] for round in sorted(ours.keys() & theirs.keys()) if theirs[round]]
    if not values:
        return None
    return Outcome(target, statistics.median(values), min(values), max(values))


_QUANTITIES: dict[Quantity, Callable[[Measurement], float]] = {
    "seconds": lambda line: line.seconds,
    "cpu": lambda line: line.cpu,
    "size": lambda line: line.size,
    "peak": lambda line: line.peak,
}


def _by_round(measured: Sequence[Measurement], target: Target, tool: str) -> dict[int, float]:
    """What a tool needed in each round."""
    value = _QUANTITIES[target.quantity]
    return {line.round: value(line) for line in measured if (line.tool, line.operation) == (tool, target.operation)}
