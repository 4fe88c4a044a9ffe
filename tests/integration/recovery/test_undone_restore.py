"""What a restore replaced and keeps comes back with `restore --undo`, whatever moment a kill picks."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.stack import FakeStack
from propolis.checks import checks
from propolis.command.kept import records

KEEPING_STEPS = 28
UNDO_STEPS = 17


def restore(stack: FakeStack, *more: str) -> tuple[str, ...]:
    return "restore", "latest", "--identity", str(stack.key), "--keep-old", "5", *more


own: dict[Path, set[Path]] = {}
"""The repository's manifests after the last backup that the fixture made."""


@pytest.fixture
def stack(fake_stack: FakeStack) -> Iterator[FakeStack]:
    """One with newer data than its newest backup's; nothing is kept at the end."""
    for path in [path for path in fake_stack.root.rglob("*") if path.is_file()]:
        if path.read_bytes() == b"since":
            path.unlink()
    manifests = fake_stack.repository / "manifests"
    if not manifests.is_dir() or set(manifests.iterdir()) != own.setdefault(fake_stack.root, set()):
        fake_stack.back_up()  # else the newest backup is still the one made here
        own[fake_stack.root] = set(manifests.iterdir())
    fake_stack.change()
    yield fake_stack
    fake_stack.wait_until_recovered()
    if kept(fake_stack):
        fake_stack.propolis.ok("clean", "--all")


def kept(stack: FakeStack) -> list[str]:
    return [one.run for one in records(stack.root / "state").kept]


def asides(stack: FakeStack) -> list[Path]:
    return list(stack.root.rglob(".propolis-aside-*"))


def state_of(stack: FakeStack) -> dict[str, tuple[str, int, int, int]]:
    """Every file and folder of every store: content, mode, owner, time; of folders all but the time."""
    found = {}
    for top in ("etc", "cassandra", "elasticsearch", "files"):
        for path in sorted((stack.root / top).rglob("*")):
            if any(part.startswith(".propolis-") for part in path.parts):
                continue
            status = path.lstat()
            text = path.read_text() if path.is_file() else "folder"
            time = status.st_mtime_ns if path.is_file() else 0
            found[str(path.relative_to(stack.root))] = (text, status.st_mode, status.st_uid, time)
    return found


def test_the_plans_have_as_many_steps_as_are_killed_here(stack: FakeStack) -> None:
    assert len(stack.propolis.plan(*restore(stack))) == KEEPING_STEPS
    stack.propolis.ok(*restore(stack))
    assert len(stack.propolis.plan("restore", "--undo")) == UNDO_STEPS


def test_undo_brings_back_every_byte_and_undone_again_the_restored_ones(stack: FakeStack) -> None:
    newer = state_of(stack)
    restored = stack.propolis.ok(*restore(stack), "--json").json
    assert restored["kept"]["files"] == len([one for one in newer.values() if one[0] != "folder"]), (
        "all that was replaced is counted"
    )
    backed_up = state_of(stack)
    assert backed_up != newer
    assert kept(stack) == [restored["run"]]
    (stack.root / "files/attachment/3f/after").write_text("since")
    undone = stack.propolis.ok("restore", "--undo", "--json").json
    assert undone["undone"] == restored["run"]
    assert state_of(stack) == newer
    stack.assert_serving()
    assert kept(stack) == [undone["run"]], "what was written after the restore is kept in its turn"
    stack.propolis.ok("restore", "--undo")
    after = state_of(stack)
    assert after.pop("files/attachment/3f/after")[0] == "since"
    assert after == backed_up


@pytest.mark.parametrize("step", [*range(0, KEEPING_STEPS - 6, 3), *range(KEEPING_STEPS - 6, KEEPING_STEPS)])
def test_a_restore_killed_after_a_step_keeps_all_or_has_undone_all(stack: FakeStack, step: int) -> None:
    newer = state_of(stack)
    stack.propolis.killed(step, "after", *restore(stack))
    stack.wait_until_recovered()
    stack.assert_serving()
    if kept(stack):
        stack.propolis.ok("restore", "--undo")
    else:
        assert asides(stack) == []
    assert state_of(stack) == newer


def test_a_restore_killed_while_it_counts_what_it_keeps_keeps_it(stack: FakeStack) -> None:
    newer = state_of(stack)
    stack.propolis.killed(KEEPING_STEPS - 1, "during:0", *restore(stack))
    stack.wait_until_recovered()
    assert len(kept(stack)) == 1
    stack.propolis.ok("restore", "--undo", "--no-keep-old")
    assert state_of(stack) == newer
    assert asides(stack) == []


KEPT, DROPPED = ("--keep-old", "3"), ("--no-keep-old",)


@pytest.mark.parametrize(
    ("step", "keeps"),
    [*((step, KEPT) for step in range(UNDO_STEPS)), *((step, DROPPED) for step in range(UNDO_STEPS - 3, UNDO_STEPS))],
)
def test_an_undo_killed_after_any_step_leaves_the_former_or_the_restored_data_whole(
    stack: FakeStack, step: int, keeps: tuple[str, ...]
) -> None:
    newer = state_of(stack)
    stack.propolis.ok(*restore(stack))
    restored = state_of(stack)
    stack.propolis.killed(step, "after", "restore", "--undo", *keeps)
    stack.wait_until_recovered()
    stack.assert_serving()
    if state_of(stack) == restored:
        assert len(kept(stack)) == 1
        stack.propolis.ok("restore", "--undo", "--no-keep-old")
        assert asides(stack) == []
    assert state_of(stack) == newer
    assert len(kept(stack)) == len({path.name.split("-aside-")[1][:22] for path in asides(stack)})


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005])
def test_an_undo_killed_while_it_moves_folders_is_put_right(stack: FakeStack, delay: float) -> None:
    stack.propolis.ok(*restore(stack))
    restored = state_of(stack)
    step = stack.propolis.step("restore", "move", "--undo")
    stack.propolis.disturbed(step, f"during:{delay}", "restore", "--undo")
    stack.wait_until_recovered()
    stack.assert_serving()
    if len(kept(stack)) == 1 and state_of(stack) == restored:
        stack.propolis.ok("restore", "--undo")
    assert "cassandra/data/thehive/edgestore/c" in state_of(stack)


def test_an_undo_after_which_a_service_does_not_start_puts_the_restored_data_back(stack: FakeStack) -> None:
    newer = state_of(stack)
    stack.propolis.ok(*restore(stack))
    restored = state_of(stack)
    step = stack.propolis.step("restore", "wait for TheHive", "--undo")
    stack.propolis.disturbed(step, "fail", "restore", "--undo").one_clear_error(1)
    stack.assert_serving()
    assert state_of(stack) == restored
    stack.propolis.ok("restore", "--undo")
    assert state_of(stack) == newer


def test_what_is_kept_is_ours_and_neither_backed_up_nor_left_over_nor_recovered(stack: FakeStack) -> None:
    stack.propolis.ok(*restore(stack))
    folders = asides(stack)
    (run,) = kept(stack)
    stack.recover()
    stack.back_up()
    assert asides(stack) == folders
    shown = stack.propolis.ok("status").out
    assert f"kept: what `restore` {run} replaced" in shown
    assert "leftover:" not in shown
    assert "left alone" not in shown
    assert [one["run"] for one in stack.propolis.ok("status", "--json").json["kept"]] == [run]
    found = [check for check in checks(stack.config) if check.name in ("kept data", "leftovers")]
    assert {check.result for check in found} == {"ok"}
    assert any(run in check.message for check in found)


@pytest.mark.parametrize("how", ["renamed", "removed", "emptied", "linked"])
def test_a_kept_folder_that_somebody_touched_is_named_and_nothing_is_guessed(stack: FakeStack, how: str) -> None:
    stack.propolis.ok(*restore(stack))
    (run,) = kept(stack)
    (folder,) = [path for path in asides(stack) if path.name.endswith("-files")]
    other = stack.root / "elsewhere"
    if how == "removed":
        shutil.rmtree(folder)
    elif how == "emptied":
        shutil.rmtree(folder)
        folder.mkdir()
    else:
        folder.rename(other)
        if how == "linked":
            folder.symlink_to(other)
    before = state_of(stack)
    for command in (("restore", "--undo"), ("restore", "--undo", "--plan")):
        told = stack.propolis.run(*command).one_clear_error(12)
        assert str(folder) in told
    assert state_of(stack) == before
    assert str(folder) in stack.propolis.ok("status").out
    (check,) = [check for check in checks(stack.config) if check.name == "kept data"]
    assert check.result == "warn"
    assert f"propolis clean {run}" in check.hint
    if how == "linked":
        stack.propolis.run("clean", "--all").one_clear_error(12)
        folder.unlink()
    told = stack.propolis.ok("clean", run).out
    assert (str(folder) in told) == (how in ("renamed", "removed", "emptied"))
    assert other.exists() == (how in ("renamed", "linked")), "nobody follows a name or a link to elsewhere"
    if other.exists():
        shutil.rmtree(other)
    assert kept(stack) == []


def age(stack: FakeStack, days: int = 6) -> None:
    """Let what is kept be older."""
    for path in stack.journals.glob("*.kept"):
        told = json.loads(path.read_text())
        until = datetime.datetime.fromisoformat(told["until"]) - datetime.timedelta(days=days)
        path.write_text(json.dumps(told | {"until": until.isoformat()}))


def test_what_is_past_its_time_goes_with_the_next_backup_or_with_clean(stack: FakeStack) -> None:
    stack.propolis.ok(*restore(stack))
    assert "Nothing would be deleted" in stack.propolis.ok("clean", "--plan").out
    stack.propolis.ok("clean")
    stack.back_up()
    assert len(kept(stack)) == 1
    age(stack)
    shown = stack.propolis.ok("clean", "--plan").out
    assert all(str(path) in shown for path in asides(stack))
    assert len(kept(stack)) == 1
    assert "its time is over" in stack.propolis.ok("status").out
    stack.back_up()
    assert kept(stack) == []
    assert asides(stack) == []


def test_an_undo_may_come_late_as_long_as_nothing_was_dropped(stack: FakeStack) -> None:
    newer = state_of(stack)
    stack.propolis.ok(*restore(stack))
    age(stack)
    stack.propolis.ok("restore", "--undo")
    assert state_of(stack) == newer


def test_a_removal_that_was_cut_short_is_finished_and_never_undone(stack: FakeStack) -> None:
    stack.propolis.ok(*restore(stack))
    (path,) = stack.journals.glob("*.kept")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dropping": True}))
    assert "its removal has begun" in stack.propolis.run("restore", "--undo").one_clear_error(12)
    stack.propolis.ok("clean")
    assert asides(stack) == []


def test_of_one_run_or_of_all(stack: FakeStack) -> None:
    stack.propolis.ok(*restore(stack))
    stack.propolis.ok(*restore(stack))
    first, second = kept(stack)
    stack.propolis.run("clean", "nonsense").one_clear_error(12)
    stack.propolis.run("clean", first, "--all").one_clear_error(2)
    stack.propolis.ok("clean", first)
    assert kept(stack) == [second]
    stack.propolis.ok("clean", "--all")
    assert kept(stack) == []
    stack.propolis.run("restore", "--undo").one_clear_error(12)


def test_a_run_after_which_other_stores_were_replaced_is_not_undone(stack: FakeStack) -> None:
    """Else the stack's stores would be of two different times."""
    stack.propolis.ok(*restore(stack, "--only", "files"))
    stack.propolis.ok("restore", "latest", "--identity", stack.key)
    told = stack.propolis.run("restore", "--undo").one_clear_error(12)
    assert "has replaced other stores since" in told


def test_a_part_restored_after_the_whole_goes_back_with_it(stack: FakeStack) -> None:
    newer = state_of(stack)
    stack.propolis.ok(*restore(stack))
    (whole,) = kept(stack)
    stack.propolis.ok(*restore(stack, "--only", "files"))
    stack.propolis.ok("restore", "--undo", whole)
    assert state_of(stack) == newer


def test_a_record_that_cannot_be_read_hides_no_other_and_drops_nothing(stack: FakeStack) -> None:
    stack.propolis.ok(*restore(stack))
    (path,) = stack.journals.glob("*.kept")
    text = path.read_text()
    path.write_text("{")
    assert f"The record {path} of kept data can't be read" in stack.propolis.ok("status").out
    folders = asides(stack)
    stack.propolis.ok("clean", "--all")
    stack.recover()
    assert asides(stack) == folders
    assert str(path) in stack.propolis.run("restore", "--undo").one_clear_error(12)
    path.write_text(text)


def test_what_has_lost_its_record_is_named_and_left_alone(stack: FakeStack) -> None:
    stack.propolis.ok(*restore(stack))
    (path,) = stack.journals.glob("*.kept")
    text = path.read_text()
    path.unlink()
    folders = asides(stack)
    stack.propolis.ok("clean", "--all")
    stack.recover()
    stack.back_up()
    assert asides(stack) == folders
    told = f"{folders[0]} holds former data that a restore kept, and its record is gone"
    assert told in stack.propolis.ok("status").out
    found = [check for check in checks(stack.config) if check.name == "leftovers"]
    assert {check.result for check in found} == {"warn"}
    assert any(told in check.message for check in found)
    path.write_text(text)


def test_the_configuration_may_keep_it_by_default(stack: FakeStack) -> None:
    file = stack.propolis.config_file
    text = file.read_text()
    try:
        file.write_text(f"{text}restore: {{keep_old: 3}}\n")
        stack.propolis.ok("restore", "latest", "--identity", stack.key, "--no-keep-old")
        assert kept(stack) == []
        stack.propolis.ok("restore", "latest", "--identity", stack.key)
        assert [one.days for one in records(stack.root / "state").kept] == [3]
    finally:
        file.write_text(text)


def test_the_report_names_the_command_that_puts_it_back(stack: FakeStack) -> None:
    newer = state_of(stack)
    told = stack.propolis.ok(*restore(stack)).out
    (line,) = [line for line in told.splitlines() if "former data" in line]
    command = line.split("to put it back: propolis ")[1].split()
    stack.propolis.ok(*command)
    assert command[-1] == str(stack.propolis.config_file)
    assert state_of(stack) == newer


def test_without_a_configured_number_it_is_kept_for_a_week(stack: FakeStack) -> None:
    stack.propolis.ok("restore", "latest", "--identity", stack.key, "--keep-old")
    assert [one.days for one in records(stack.root / "state").kept] == [7]


@pytest.mark.parametrize(
    "arguments",
    [
        ("restore", "latest", "--keep-old", "5", "--no-keep-old"),
        ("restore", "latest", "--keep-old=-1"),
        ("restore", "latest", "--keep-old=99999"),
        ("restore", "latest", "--undo"),
        ("restore", "--undo", "--only", "files"),
        ("restore",),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_usage_error(stack: FakeStack, arguments: tuple[str, ...]) -> None:
    stack.propolis.run(*arguments).one_clear_error(2)
