"""A backup is killed with SIGKILL where real servers can break something: TheHive comes back by itself.

Fake services are killed after every single step (`tests/integration/recovery/test_killed_at_any_step.py`).
"""

from __future__ import annotations

import pytest

from propolis_lab.servers import answers
from system.conftest import Scene

RISKY = (
    "stop TheHive",
    "stop the index",
    "drain and stop the database",
    "clone",
    "start the database",
    "start TheHive",
)


@pytest.mark.parametrize("title", RISKY)
def test_killed_after_a_step_the_stack_serves_again_and_the_next_backup_succeeds(settled: Scene, title: str) -> None:
    settled.propolis.killed(settled.propolis.step("backup", title), "after", "backup")
    settled.propolis.wait_until_recovered()
    settled.assert_serving()
    settled.assert_nothing_left()
    settled.propolis.ok("backup")


@pytest.mark.parametrize(
    ("title", "delay"), [("check", 0.4), ("drain and stop the database", 0.5), ("clone", 0.02), ("store new", 0.03)]
)
def test_killed_within_a_step_it_is_put_right_too(settled: Scene, title: str, delay: float) -> None:
    settled.lab.seed(1, 20, seed=int(delay * 1000))
    settled.propolis.killed(settled.propolis.step("backup", title), f"during:{delay}", "backup")
    settled.propolis.wait_until_recovered()


def test_when_the_watchdog_is_killed_too_recover_puts_things_right_and_can_be_repeated(settled: Scene) -> None:
    settled.propolis.killed_with_watchdog(settled.propolis.step("backup", "drain and stop the database"), "backup")
    assert not settled.lab.running("thehive")
    assert "unfinished:" in settled.propolis.ok("status").out
    assert "undone" in settled.propolis.ok("recover").out
    settled.assert_serving()
    assert "There are no unfinished runs" in settled.propolis.ok("recover").out


def test_when_nobody_recovered_the_next_backup_does_so_first(settled: Scene) -> None:
    settled.propolis.killed_with_watchdog(settled.propolis.step("backup", "clone"), "backup")
    settled.propolis.ok("backup")


def test_a_thehive_that_somebody_started_before_the_index_answered_is_restarted_by_recovery(settled: Scene) -> None:
    lab, propolis = settled.lab, settled.propolis
    settings, own = lab.layout.etc("thehive") / "application.conf", propolis.config_file
    kept = {path: path.read_text() for path in (settings, own)}
    try:
        settings.write_text(kept[settings] + "standin.start-tries = 2\nstandin.start-pause = 0.2\n")
        own.write_text(kept[own] + "timeouts:\n  listen: 1\n")
        propolis.killed_with_watchdog(propolis.step("backup", "stop the index"), "backup")
        lab.platform.start("thehive")
        answers.until(lambda: "only a restart helps" in lab.log_tail("thehive", 40), "the end of its tries")
        hung = lab.platform.pids("thehive")
        lab.platform.start("index")
        lab.wait("index")
        propolis.ok("recover")
    finally:
        for path, text in kept.items():
            path.write_text(text)
    assert lab.platform.pids("thehive") != hung
    settled.assert_serving()
    assert "There are no unfinished runs" in propolis.ok("recover").out
