"""Recovery of what another version left, and of what nobody can read: services come back whatever else can't."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.stack import ROLES, FakeStack
from propolis.errors import PropolisError, ServicesDownError
from propolis.run.journal import FORMAT, new_run_id
from propolis.run.journals import read_journal

JOURNALS = Path(__file__).with_name("journals")
"""Written by the first version, killed with its watchdog; they carry neither version nor format."""

Lines = list[dict[str, Any]]


@pytest.fixture
def stack(fake_stack: FakeStack) -> Iterator[FakeStack]:
    """The stack, whose content a test leaves as it was."""
    before = fake_stack.content()
    yield fake_stack
    assert fake_stack.content() == before


def lay(stack: FakeStack, name: str) -> Path:
    """Put one of the first version's journals in place, as if its run had been cut short on this stack."""
    path = stack.journals / f"{new_run_id()}.jsonl"
    text = (JOURNALS / name).read_text()
    address = stack.propolis.config.require_thehive().url.removeprefix("http://").removesuffix(":9000")
    values = {"ROOT": str(stack.root), "REPOSITORY": str(stack.repository), "ADDRESS": address, "RUN": path.stem}
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    path.write_text(text)
    return path


def lines(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text().splitlines()]


def swaps(path: Path) -> Lines:
    found: Lines = next(step["swaps"] for step in lines(path)[0]["steps"] if step["type"] == "replace-folders")
    return found


def move_aside(path: Path, *, then: bool) -> None:
    """Do what a cut short restore had done: what was there lies aside, and the target has other content."""
    for swap in swaps(path):
        target, aside = Path(swap["target"]), Path(swap["aside"])
        shutil.copytree(target, aside)
        (aside / ".all-moved-aside").touch()
        if then:
            (target / "restored").write_text("content of the backup")


def test_a_backup_that_the_first_version_was_killed_in_is_undone(stack: FakeStack) -> None:
    path = lay(stack, "0.1.0-backup.jsonl")
    (clone,) = [Path(found) for step in lines(path)[0]["steps"] for found in step.get("places", {}).values()][:1]
    (clone / "folder").mkdir(parents=True)
    stack.stop()
    stack.recover()
    stack.assert_serving()
    assert not clone.exists()


def test_a_restore_that_the_first_version_was_killed_in_is_undone(stack: FakeStack) -> None:
    path = lay(stack, "0.1.0-restore.jsonl")
    stack.stop()
    move_aside(path, then=True)
    stack.recover()
    state = read_journal(path)
    assert state is not None
    assert state.outcome == "undone by recovery"


def test_a_restore_that_the_first_version_had_committed_is_finished(stack: FakeStack) -> None:
    path = lay(stack, "0.1.0-restore-committed.jsonl")
    move_aside(path, then=False)
    stack.recover()
    state = read_journal(path)
    assert state is not None
    assert state.outcome == "finished by recovery"


@pytest.fixture(scope="module")
def cut_short(module_fake_stack: FakeStack) -> str:
    """The journal of a backup that was killed, with its watchdog, after it had cloned."""
    stack = module_fake_stack
    stack.propolis.killed_with_watchdog(stack.propolis.step("backup", "clone"), "backup")
    text = stack.newest_journal().read_text()
    stack.recover()
    return text


def test_the_first_line_carries_version_and_format(cut_short: str) -> None:
    first = json.loads(cut_short.splitlines()[0])
    assert first["format"] == FORMAT
    assert first["propolis"]


def newer_format(found: Lines) -> None:
    found[0]["format"] = FORMAT + 1


def unknown_step(found: Lines) -> None:
    found[0]["steps"][-1]["type"] = "drop-everything"


def step_of_another_shape(found: Lines) -> None:
    found[0]["steps"][0]["running"] = "all"


def unknown_key(found: Lines) -> None:
    found[0]["facts"]["config"]["colour"] = "blue"


def no_configuration(found: Lines) -> None:
    del found[0]["facts"]["config"]


def unknown_event(found: Lines) -> None:
    found.insert(3, {"event": "paused", "at": "2027-01-01T00:00:00.000+00:00"})


def field_of_another_type(found: Lines) -> None:
    found[2]["step"] = "the second"


def no_first_line(found: Lines) -> None:
    del found[0]


CHANGES: list[Callable[[Lines], None]] = [
    *(newer_format, unknown_step, step_of_another_shape, unknown_key, no_configuration, unknown_event),
    *(field_of_another_type, no_first_line),
]


def write(path: Path, found: Lines) -> None:
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in found))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_journal_that_can_not_be_read_is_one_clear_error_and_services_come_back(
    stack: FakeStack, cut_short: str, change: Callable[[Lines], None]
) -> None:
    folder = stack.journals
    path, other = (folder / f"{new_run_id()}.jsonl" for _ in range(2))
    found = [json.loads(line) for line in cut_short.splitlines()]
    change(found)
    write(path, found)
    other.write_text(cut_short)
    stack.stop()
    try:
        error = stack.propolis.run("recover", "--quiet").one_clear_error(3)
        assert error.count(str(path)) == 1
        stack.assert_serving()
        state = read_journal(other)
        assert state is not None
        assert state.outcome == "undone by recovery", "one journal hides no other"
        assert "unfinished:" in stack.propolis.ok("status").out
        assert str(path) in stack.propolis.run("backup").one_clear_error(12)
    finally:
        path.unlink()


def test_a_damaged_line_in_the_middle_is_one_clear_error_and_services_come_back(
    stack: FakeStack, cut_short: str
) -> None:
    path = stack.journals / f"{new_run_id()}.jsonl"
    found = cut_short.encode().splitlines(keepends=True)
    found[4] = b"\x00\xff" + found[4][2:]
    path.write_bytes(b"".join(found))
    stack.stop()
    with pytest.raises(PropolisError, match=f"{path} can't be read: line 5"):
        stack.recover()
    stack.assert_serving()
    path.unlink()


@pytest.mark.parametrize("promised", [True, False], ids=["this version", "the first version"])
def test_on_folders_half_replaced_by_a_run_that_can_not_be_read_no_service_is_started(
    stack: FakeStack, promised: bool
) -> None:
    path = lay(stack, "0.1.0-restore.jsonl")
    whole = path.read_text()
    found = lines(path)
    unknown_step(found)
    if promised:
        platform = found[0]["facts"]["config"]["platform"]
        for services, because in ((list(ROLES), ""), ([], "the restore was replacing the services' folders")):
            promise = {"services": services, "platform": platform, "because": because}
            found.append({"event": "promise", "at": found[0]["at"], "promise": promise})
    write(path, found)
    stack.stop()
    move_aside(path, then=True)
    with pytest.raises(ServicesDownError, match="Services were not started: the restore was replacing"):
        stack.recover()
    assert not any(map(stack.is_running, ROLES))
    path.write_text(whole)  # as the version that wrote it reads it
    stack.recover()


def test_what_the_first_version_stopped_comes_back_even_if_its_journal_can_not_be_read(stack: FakeStack) -> None:
    path = lay(stack, "0.1.0-backup.jsonl")
    found = lines(path)
    unknown_step(found)
    write(path, found)
    stack.stop()
    with pytest.raises(PropolisError, match="doesn't know its step 'drop-everything'"):
        stack.recover()
    stack.assert_serving()
    path.unlink()


def test_a_promise_that_can_not_be_kept_says_which_service_is_down(stack: FakeStack, cut_short: str) -> None:
    path = stack.journals / f"{new_run_id()}.jsonl"
    found = [json.loads(line) for line in cut_short.splitlines()]
    newer_format(found)
    for line in found:
        if line["event"] == "promise":
            line["promise"]["seconds"] = 0.5
    write(path, found)
    stack.stop()
    stack.tell("index", "breaks")
    stack.propolis.run("recover").one_clear_error(16)
    stack.forget("index", "breaks")
    path.write_text(path.read_text().replace('"seconds":0.5', '"seconds":20'))
    stack.propolis.run("recover").one_clear_error(3)
    path.unlink()
