"""A restore is killed with SIGKILL where real servers can break something: the former data serves, or the restored.

Fake services are killed after every single step (`tests/integration/recovery/test_killed_at_any_step.py`).
"""

from __future__ import annotations

import pytest

from propolis_lab.proof import Proof, compare, snapshot
from system.conftest import Scene

RISKY = (
    "stop the index",
    "drain and stop the database",
    "move",
    "start the database",
    "start the index",
    "check that database",
    "start TheHive",
)


@pytest.fixture(scope="module")
def before(scene: Scene) -> Proof:
    """What the stack holds, and the newest backup too: whichever a killed restore leaves, it is this."""
    scene.propolis.ok("backup")
    return snapshot(scene.lab)


@pytest.mark.parametrize("title", RISKY)
def test_killed_after_a_step_the_stack_serves_again_with_its_data(settled: Scene, before: Proof, title: str) -> None:
    step = settled.propolis.step("restore", title, "latest", "--identity", settled.key)
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
