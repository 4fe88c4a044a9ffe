"""The watchdog goes only when nothing is half done any more, and no run stops anything without one."""

from __future__ import annotations

import sys
import time

import pytest

from fakes.stack import FakeStack
from propolis.errors import PreflightError
from propolis.run.journals import journals


def fail_to_undo(stack: FakeStack) -> None:
    """A backup that fails, and whose TheHive doesn't start again."""
    stack.tell("thehive", "breaks")
    ran = stack.propolis.disturbed(stack.propolis.step("backup", "clone"), "fail", "backup")
    message = ran.one_clear_error(16)
    assert "Propolis keeps retrying in the background" in message
    assert not stack.is_running("thehive")


def wait_for_status(stack: FakeStack, text: str) -> None:
    deadline = time.monotonic() + 180
    while text not in (shown := stack.propolis.ok("status").out):
        assert time.monotonic() < deadline, shown


def test_services_that_could_not_be_brought_back_come_back_by_themselves_once_they_can(fake_stack: FakeStack) -> None:
    stack = fake_stack
    fail_to_undo(stack)
    wait_for_status(stack, "its watchdog is recovering it: 1 try so far, the last with exit code 16")
    stack.forget("thehive", "breaks")
    stack.wait_until_recovered()
    stack.assert_serving()
    assert "failed with exit code 16; the next one is in 2 s" in stack.propolis.watchdog_log()


def test_a_person_may_recover_meanwhile_and_the_watchdog_goes(fake_stack: FakeStack) -> None:
    stack = fake_stack
    fail_to_undo(stack)
    stack.forget("thehive", "breaks")
    while (ran := stack.propolis.run("recover")).code == 11:  # the watchdog is at it just now
        time.sleep(0.1)
    assert ran.code == 0
    stack.assert_serving()
    deadline = time.monotonic() + 180
    over = f"{stack.newest_journal().stem} is finished"
    while over not in stack.propolis.watchdog_log():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_without_a_watchdog_nothing_is_stopped(fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = fake_stack
    folder = stack.journals
    before = (stack.root / "run/thehive.pid").read_text(), journals(folder)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(
            PreflightError, match="The watchdog, which restarts services if Propolis is killed, can't be started"
        ):
            stack.back_up()
        with pytest.raises(PreflightError, match="The watchdog"):
            stack.restore()
    assert ((stack.root / "run/thehive.pid").read_text(), journals(folder)) == before


def test_a_broken_configuration_keeps_no_watchdog_from_recovering(fake_stack: FakeStack) -> None:
    stack = fake_stack
    file, number = stack.propolis.config_file, stack.propolis.step("backup", "clone")
    whole = file.read_text()
    ran = stack.propolis.disturbed(number, f"spoil:{file}", "backup")
    assert ran.code == -9
    assert file.read_text() != whole
    stack.wait_until_recovered()
    file.write_text(whole)
