"""Propolis is killed with SIGKILL after every single step: TheHive comes back by itself, nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from propolis_lab.proof import compare, snapshot
from system.conftest import Scene

BACKUP_STEPS = 17
RESTORE_STEPS = 22


def test_the_numbers_of_steps_are_those_the_plans_have(scene: Scene) -> None:
    assert len(scene.propolis.plan("backup")) == BACKUP_STEPS
    assert len(scene.propolis.plan("restore", "latest")) == RESTORE_STEPS


@pytest.mark.parametrize("step", range(BACKUP_STEPS))
def test_a_backup_killed_after_any_step_leaves_a_serving_stack_and_the_next_one_succeeds(
    settled: Scene, step: int
) -> None:
    settled.propolis.killed(step, "after", "backup")
    settled.propolis.wait_until_recovered()
    settled.assert_serving()
    settled.assert_nothing_left()
    settled.propolis.ok("backup")


@pytest.mark.parametrize("step", range(RESTORE_STEPS))
def test_a_restore_killed_after_any_step_leaves_a_serving_stack_with_its_data(settled: Scene, step: int) -> None:
    before = snapshot(settled.lab)
    settled.propolis.killed(step, "after", "restore", "latest", "--identity", settled.key)
    settled.propolis.wait_until_recovered()
    settled.assert_serving()
    settled.assert_nothing_left()
    assert compare(before, snapshot(settled.lab)) == []


@pytest.mark.parametrize(
    ("command", "step", "delay"),
    [("backup", 6, 0.5), ("backup", 7, 0.02), ("backup", 10, 2.0), ("backup", 14, 0.03), ("restore", 13, 0.005)],
)
def test_a_run_killed_within_a_step_is_put_right_too(settled: Scene, command: str, step: int, delay: float) -> None:
    before = snapshot(settled.lab)
    arguments: list[str | Path] = (
        ["backup"] if command == "backup" else ["restore", "latest", "--identity", settled.key]
    )
    settled.propolis.killed(step, f"during:{delay}", *arguments)
    settled.propolis.wait_until_recovered()
    settled.assert_serving()
    settled.assert_nothing_left()
    assert compare(before, snapshot(settled.lab)) == []


def test_when_the_watchdog_is_killed_too_recover_puts_things_right_and_can_be_repeated(settled: Scene) -> None:
    settled.propolis.killed_with_watchdog(6, "backup")
    assert not settled.lab.running("thehive")
    assert "left half done" in settled.propolis.ok("status").out
    assert "undone" in settled.propolis.ok("recover").out
    settled.assert_serving()
    assert "Nothing was left half done" in settled.propolis.ok("recover").out


def test_when_nobody_recovered_the_next_backup_does_so_first(settled: Scene) -> None:
    settled.propolis.killed_with_watchdog(7, "backup")
    settled.propolis.ok("backup")
