"""One plan from those of several hosts: phase by phase, and within one the k-th step of each host side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from propolis.command.phases import PHASES, RANK
from propolis.errors import PreflightError
from propolis.link.messages import PlannedStep

_DETAILS = ": "
"""What follows it in a title differs from host to host: which services, which folders."""


@dataclass(frozen=True)
class Line:
    """Steps of one phase, of one host each, that are done side by side."""

    phase: str
    calls: tuple[tuple[str, int], ...]
    """Which host does which of its steps."""
    title: str


def weave(parts: Mapping[str, Sequence[PlannedStep]]) -> tuple[Line, ...]:
    """Merge the steps of each host; hosts are named in the order given.

    Raises PreflightError if a host names a phase that isn't known, or steps in another order than that of the phases.
    """
    for host, steps in parts.items():
        _require_order(host, steps)
    lines = []
    for phase in PHASES:
        columns = [[(host, step) for step in steps if step.phase == phase] for host, steps in parts.items()]
        for row in zip_longest(*columns):
            found = [cell for cell in row if cell is not None]
            calls = tuple((host, step.number) for host, step in found)
            lines.append(Line(phase, calls, merged({host: step.title for host, step in found})))
    return tuple(lines)


def merged(titles: Mapping[str, str]) -> str:
    """What several hosts do, in one line: each thing once, with who does it."""
    if len(set(titles.values())) > 1 and len({_short(title) for title in titles.values()}) < len(titles):
        titles = {host: _short(title) for host, title in titles.items()}
    who: dict[str, list[str]] = {}
    for host, title in titles.items():
        who.setdefault(title, []).append(host)
    return "; ".join(f"{', '.join(hosts)}: {title}" for title, hosts in who.items())


def _short(title: str) -> str:
    return title.partition(_DETAILS)[0]


def _require_order(host: str, steps: Sequence[PlannedStep]) -> None:
    before = (-1, -1)
    for step in steps:
        if step.phase not in RANK:
            raise _refused(host, f"its step {step.number + 1} is of an unknown phase ({step.phase!r})")
        if step.number <= before[0] or RANK[step.phase] < before[1]:
            raise _refused(host, f"its step {step.number + 1} ({step.phase}) comes too late")
        before = (step.number, RANK[step.phase])


def _refused(host: str, why: str) -> PreflightError:
    return PreflightError(
        f"The plan of the host {host} can't be combined with those of the others: {why}",
        left="Nothing was changed",
        next="Check that the same version of Propolis is installed on every host",
    )
