"""A restore is killed with SIGKILL after every step: the former data serves again, or the restored; never neither."""

from __future__ import annotations

import pytest

from propolis_lab.proof import Proof, compare, snapshot
from system.conftest import Scene

STEPS = 28


@pytest.fixture(scope="module")
def before(scene: Scene) -> Proof:
    """What the stack holds, and the newest backup too: whichever a killed restore leaves, it is this."""
    scene.propolis.ok("backup")
    return snapshot(scene.lab)


def test_the_plan_has_as_many_steps_as_are_killed_here(scene: Scene) -> None:
    assert len(scene.propolis.plan("restore", "latest")) == STEPS


@pytest.mark.parametrize("step", range(STEPS))
def test_killed_after_any_step_the_stack_serves_again_with_its_data(settled: Scene, before: Proof, step: int) -> None:
    settled.propolis.killed(step, "after", "restore", "latest", "--identity", settled.key)
    settled.propolis.wait_until_recovered()
    settled.assert_serving()
    settled.assert_nothing_left()
    assert compare(before, snapshot(settled.lab)) == []


@pytest.mark.parametrize(("title", "delay"), [("move", 0.004), ("fetch files/", 0.02)])
def test_killed_within_a_step_it_is_put_right_too(settled: Scene, before: Proof, title: str, delay: float) -> None:
    step = settled.propolis.step("restore", title, "latest")
    settled.propolis.killed(step, f"during:{delay}", "restore", "latest", "--identity", settled.key)
    settled.propolis.wait_until_recovered()
    assert compare(before, snapshot(settled.lab)) == []
