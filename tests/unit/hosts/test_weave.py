"""Plans of several hosts become one: nothing is lost, and nothing comes before its time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.command.phases import PHASES, RANK
from propolis.errors import PreflightError
from propolis.hosts.weave import merged, weave
from propolis.link.messages import PlannedStep

HOSTS = ("hive", "db1", "db2")


@st.composite
def steps(draw: st.DrawFn) -> tuple[PlannedStep, ...]:
    """A host's plan: phases in order, some more than once, numbers with gaps."""
    phases = sorted(draw(st.lists(st.sampled_from(PHASES), max_size=30)), key=PHASES.index)
    numbers = sorted(draw(st.sets(st.integers(0, 99), min_size=len(phases), max_size=len(phases))))
    return tuple(PlannedStep(number, phase, f"do {phase}") for number, phase in zip(numbers, phases, strict=True))


parts = st.dictionaries(st.sampled_from(HOSTS), steps(), min_size=1)


@given(steps())
def test_of_one_host_it_is_the_plan_itself(plan: tuple[PlannedStep, ...]) -> None:
    assert [(line.phase, line.calls) for line in weave({"hive": plan})] == [
        (step.phase, (("hive", step.number),)) for step in plan
    ]


@given(parts)
def test_every_host_does_all_of_its_steps_in_its_own_order(plans: dict[str, tuple[PlannedStep, ...]]) -> None:
    lines = weave(plans)
    for host, plan in plans.items():
        done = [(line.phase, number) for line in lines for name, number in line.calls if name == host]
        assert done == [(step.phase, step.number) for step in plan]
    assert sum(len(line.calls) for line in lines) == sum(map(len, plans.values()))


@given(parts)
def test_nobody_is_in_a_later_phase_before_all_are_through_with_an_earlier_one(
    plans: dict[str, tuple[PlannedStep, ...]],
) -> None:
    ranks = [RANK[line.phase] for line in weave(plans)]
    assert ranks == sorted(ranks)


@given(parts)
def test_hosts_of_a_phase_begin_it_together(plans: dict[str, tuple[PlannedStep, ...]]) -> None:
    lines = weave(plans)
    for phase in PHASES:
        counts = [sum(step.phase == phase for step in plan) for plan in plans.values()]
        assert sum(line.phase == phase for line in lines) == max(counts)


def test_an_unknown_phase_is_refused() -> None:
    with pytest.raises(PreflightError, match=r"db2.*step 5 is of an unknown phase \('dance'\)"):
        weave({"db2": (PlannedStep(4, "dance", "dance"),)})


def test_steps_out_of_order_are_refused() -> None:
    with pytest.raises(PreflightError, match="comes too late"):
        weave({"db2": (PlannedStep(0, "clone", ""), PlannedStep(1, "stop:database", ""))})
    with pytest.raises(PreflightError, match="comes too late"):
        weave({"db2": (PlannedStep(1, "check", ""), PlannedStep(1, "check", ""))})


def test_what_several_hosts_do_alike_is_said_once() -> None:
    assert merged({"db1": "stop the database", "db2": "stop the database"}) == "db1, db2: stop the database"
    assert merged({"hive": "stop TheHive"}) == "hive: stop TheHive"


def test_details_that_differ_are_left_out() -> None:
    titles = {"hive": "record which services to restart: TheHive", "db1": "record which services to restart: none"}
    assert merged(titles) == "hive, db1: record which services to restart"


def test_what_differs_is_said_of_each() -> None:
    titles = {"hive": "clone 1 folders: a", "db1": "clone 3 folders: b", "db2": "clone 3 folders: c"}
    assert merged(titles) == "hive: clone 1 folders; db1, db2: clone 3 folders"
    assert merged({"hive": "start TheHive", "db": "start Cortex"}) == "hive: start TheHive; db: start Cortex"
