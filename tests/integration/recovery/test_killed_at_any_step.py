"""A backup or restore is killed with SIGKILL after every single step: the stack serves again by itself.

What only real servers can break is tried on them, at the steps where they can (`tests/system/test_killed_*.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.stack import FakeStack

BACKUP_STEPS = 19
RESTORE_STEPS = 28


@pytest.fixture
def stack(fake_stack: FakeStack) -> Iterator[FakeStack]:
    """The stack, whose content is that of the newest backup before and after, whether a restore is kept or undone."""
    before = fake_stack.content()
    yield fake_stack
    assert fake_stack.content() == before


def restore(stack: FakeStack) -> tuple[str, ...]:
    return "restore", "latest", "--identity", str(stack.key)


def test_the_plans_have_as_many_steps_as_are_killed_here(stack: FakeStack) -> None:
    assert len(stack.propolis.plan("backup")) == BACKUP_STEPS
    assert len(stack.propolis.plan(*restore(stack))) == RESTORE_STEPS


@pytest.mark.parametrize("step", range(BACKUP_STEPS))
def test_a_backup_killed_after_any_step_costs_nothing(stack: FakeStack, step: int) -> None:
    stack.propolis.killed(step, "after", "backup")
    stack.wait_until_recovered()
    stack.assert_serving()
    stack.assert_nothing_left()
    stack.back_up()


@pytest.mark.parametrize("step", range(RESTORE_STEPS))
def test_a_restore_killed_after_any_step_leaves_the_former_or_the_restored_data(stack: FakeStack, step: int) -> None:
    stack.propolis.killed(step, "after", *restore(stack))
    stack.wait_until_recovered()
    stack.assert_serving()
    stack.assert_nothing_left()


@pytest.mark.parametrize("step", range(0, RESTORE_STEPS, 3))
def test_a_restore_over_newer_data_is_kept_whole_or_undone_whole(fake_stack: FakeStack, step: int) -> None:
    stack = fake_stack
    backed_up = stack.content()
    stack.change()
    newer = stack.content()
    stack.propolis.killed(step, "after", *restore(stack))
    stack.wait_until_recovered()
    stack.assert_serving()
    assert stack.content() in (newer, backed_up)
    stack.restore()
    assert stack.content() == backed_up
