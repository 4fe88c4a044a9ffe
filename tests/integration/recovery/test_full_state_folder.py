"""A state folder that fills up, or becomes read-only, while TheHive is down keeps nothing down."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.stack import FakeStack


@pytest.fixture
def state(fake_stack: FakeStack, tmp_path: Path) -> Iterator[Path]:
    """The state folder, for the time of a test on a small filesystem of its own."""
    state = fake_stack.root / "state"
    shutil.copytree(state, tmp_path / "state")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "none", str(state)], check=True)
    shutil.copytree(tmp_path / "state", state, dirs_exist_ok=True)
    yield state
    fake_stack.wait_until_recovered()
    subprocess.run(["umount", "-l", str(state)], check=True)


@pytest.mark.parametrize("title", ["stop TheHive", "clone", "start the database"])
def test_a_state_folder_that_fills_up_keeps_no_service_down(fake_stack: FakeStack, state: Path, title: str) -> None:
    """Some records may still fit into the journal's last block: then the backup succeeds."""
    ran = fake_stack.propolis.disturbed(fake_stack.propolis.step("backup", title), f"fill:{state}", "backup")
    if ran.code != 0:
        assert "No space left on device" in ran.one_clear_error(1)
    fake_stack.assert_serving()
    (state / "filler").unlink()
    fake_stack.wait_until_recovered()


def test_with_a_full_state_folder_recover_brings_services_back(fake_stack: FakeStack, state: Path) -> None:
    fake_stack.propolis.killed_with_watchdog(fake_stack.propolis.step("backup", "clone"), "backup")
    with (state / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(512))
    ran = fake_stack.propolis.run("recover")
    if ran.code != 0:
        assert "The run has been recovered, but its journal can't be closed" in ran.one_clear_error(1)
    fake_stack.assert_serving()
    (state / "filler").unlink()
    fake_stack.propolis.ok("recover")


def test_with_a_read_only_state_folder_recover_brings_services_back(fake_stack: FakeStack, state: Path) -> None:
    fake_stack.propolis.killed_with_watchdog(
        fake_stack.propolis.step("restore", "move", "latest"), "restore", "latest", "-i", fake_stack.key
    )
    subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
    assert "The run has been recovered, but its journal can't be closed" in fake_stack.propolis.run(
        "recover"
    ).one_clear_error(1)
    fake_stack.assert_serving()
    subprocess.run(["mount", "-o", "remount,rw", str(state)], check=True)
    fake_stack.propolis.ok("recover")


@pytest.mark.parametrize("title", ["accept", "keep what was moved aside"])
def test_a_state_folder_that_fills_up_at_the_end_of_a_restore_loses_nothing_that_is_to_be_kept(
    fake_stack: FakeStack, state: Path, title: str
) -> None:
    fake_stack.change()
    newer = fake_stack.own_content()
    command = ("restore", "latest", "-i", fake_stack.key, "--keep-old", "3")
    ran = fake_stack.propolis.disturbed(
        fake_stack.propolis.step("restore", title, *command[1:]), f"fill:{state}", *command
    )
    if ran.code != 0:
        assert "No space left on device" in ran.one_clear_error(1)
    fake_stack.assert_serving()
    (state / "filler").unlink()
    fake_stack.wait_until_recovered()
    if fake_stack.own_content() != newer:
        fake_stack.propolis.ok("restore", "--undo", "--no-keep-old")
        assert fake_stack.own_content() == newer
    assert list(fake_stack.root.rglob(".propolis-*")) == []


@pytest.mark.parametrize("title", ["move", "accept", "keep what was moved aside"])
def test_a_state_folder_that_fills_up_during_an_undo_leaves_one_of_both_whole(
    fake_stack: FakeStack, state: Path, title: str
) -> None:
    fake_stack.change()
    newer = fake_stack.own_content()
    fake_stack.propolis.ok("restore", "latest", "-i", fake_stack.key, "--keep-old", "3")
    restored = fake_stack.own_content()
    ran = fake_stack.propolis.disturbed(
        fake_stack.propolis.step("restore", title, "--undo"), f"fill:{state}", "restore", "--undo"
    )
    if ran.code != 0:
        assert "No space left on device" in ran.one_clear_error(1)
    fake_stack.assert_serving()
    assert fake_stack.own_content() in (newer, restored)
    (state / "filler").unlink()
    fake_stack.wait_until_recovered()
    if fake_stack.own_content() == restored:
        fake_stack.propolis.ok("restore", "--undo")
    assert fake_stack.own_content() == newer
    fake_stack.propolis.ok("clean", "--all")
