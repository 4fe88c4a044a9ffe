"""The coordinator's plan: what all hosts do, woven, and between it what the coordinator does itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from propolis.command.phases import PHASES
from propolis.hosts.coordination import Coordination
from propolis.hosts.on_hosts import BeginOnHosts, EndOnHosts, OnHosts
from propolis.hosts.weave import weave
from propolis.hosts.words import clean
from propolis.link.messages import Part, PlannedStep
from propolis.run import Plan, Step
from propolis.stack.stack import START_WAVES

PROMISE = "promise"
"""The phase of the promise to bring services back."""


def woven_plan(
    command: str,
    parts: Mapping[str, Part],
    own: Sequence[Step[Coordination, Any]] = (),
    given: tuple[object, ...] = (),
) -> Plan[Coordination]:
    """Weave the hosts' parts; each of the coordinator's `own` steps comes behind the hosts' of its phase.

    Raises PreflightError if a host's part doesn't fit into it.
    """
    if strange := [step.phase for step in own if step.phase not in PHASES]:
        raise ValueError(f"{command}: {', '.join(strange)} is not a phase, so its step would be left out")
    turns = turns_of(parts)
    lines = weave({host: [_shown(step) for step in part.steps] for host, part in parts.items()})
    steps: list[Step[Coordination, Any]] = [BeginOnHosts(hosts=turns)]
    for phase in PHASES:
        for line in lines:
            if line.phase == phase:
                owed = _among(turns, dict(line.calls)) if phase == PROMISE else ()
                steps.append(OnHosts(during=phase, calls=line.calls, what=line.title, turns=owed))
        steps += (step for step in own if step.phase == phase)
    return Plan(command, (*steps, EndOnHosts(hosts=turns)), given)


def turns_of(parts: Mapping[str, Part]) -> tuple[tuple[str, ...], ...]:
    """The hosts in the order in which their services can start: a store's hosts before those of what needs it."""
    found: dict[int, list[str]] = {}
    for host, part in parts.items():
        waves = [number for number, wave in enumerate(START_WAVES) if set(wave).intersection(part.running)]
        found.setdefault(max(waves, default=0), []).append(host)
    return tuple(tuple(found[wave]) for wave in sorted(found))


def _among(turns: tuple[tuple[str, ...], ...], hosts: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    chosen = (tuple(host for host in turn if host in hosts) for turn in turns)
    return tuple(turn for turn in chosen if turn)


def _shown(step: PlannedStep) -> PlannedStep:
    return PlannedStep(step.number, step.phase, clean(step.title))
