"""Ours is what a journal of this stack names. Whatever else is named like it is somebody's, and left alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fakes.stack import FakeStack
from propolis.checks import checks

IN_STORES = {
    "cassandra/data/.propolis-notes/precious": "in a data folder",
    "cassandra/data/thehive/.propolis-20200101T000000Z-abcdef/precious": "deep in it",
    "files/.propolis-attic/precious": "in the attachments",
    "files/.propolis-file": "a file",
    "files/.propolis-aside-20200101T000000Z-abcdef/precious": "as if it had been moved aside",
    "elasticsearch/.all-moved-aside": "named as a mark of the first version",
    "etc/thehive/.propolis-20200101T000000Z-abcdef.reserve": "as if it reserved space",
}
BESIDE = {
    "cassandra/.propolis-20200101T000000Z-abcdef-data/precious": "as a clone would lie",
    "cassandra/.propolis-20200101T000000Z-abcdef-data.reserve": "as a reserve would",
    ".propolis-aside-20200101T000000Z-abcdef-files/precious": "as what was moved aside would",
}


@pytest.fixture
def named_like_ours(fake_stack: FakeStack) -> Iterator[dict[str, str]]:
    """A stack whose owner has folders and files of such names."""
    made = {**IN_STORES, **BESIDE}
    for name, text in made.items():
        path = fake_stack.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield made
    for path in sorted(fake_stack.root.rglob(".propolis-*")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (fake_stack.root / "elasticsearch/.all-moved-aside").unlink(missing_ok=True)


def present(stack: FakeStack, names: dict[str, str]) -> dict[str, str]:
    return {name: (stack.root / name).read_text() for name in names if (stack.root / name).exists()}


def test_what_is_only_named_like_ours_is_backed_up_restored_and_otherwise_left_alone(
    fake_stack: FakeStack, named_like_ours: dict[str, str]
) -> None:
    stack = fake_stack
    before = stack.content()
    stack.back_up()
    for name in IN_STORES:
        (stack.root / name).unlink()
    stack.restore()
    assert stack.content() == before
    assert present(stack, named_like_ours) == named_like_ours
    stack.recover()
    assert present(stack, named_like_ours) == named_like_ours
    stack.propolis.killed(
        stack.propolis.step("restore", "move", "latest", "-i", stack.key),
        "after",
        "restore",
        "latest",
        "-i",
        stack.key,
    )
    stack.wait_until_recovered()
    assert stack.content() == before
    assert present(stack, named_like_ours) == named_like_ours


def test_what_is_only_named_like_ours_is_named_by_status_and_doctor(
    fake_stack: FakeStack, named_like_ours: dict[str, str]
) -> None:
    shown = fake_stack.propolis.ok("status").out
    found = [check for check in checks(fake_stack.config) if check.name == "leftovers"]
    assert all(check.result == "warn" for check in found)
    for name in ("files/.propolis-attic", "cassandra/.propolis-20200101T000000Z-abcdef-data.reserve"):
        told = f"{fake_stack.root / name} looks like a leftover of Propolis, but no run of this stack created it"
        assert told in shown
        assert any(told in check.message for check in found)


def test_what_a_killed_run_left_is_ours_only_as_long_as_its_journal_is_there(fake_stack: FakeStack) -> None:
    stack = fake_stack
    stack.propolis.killed_with_watchdog(stack.propolis.step("backup", "clone"), "backup")
    journal = stack.newest_journal()
    clones = [path for path in stack.root.rglob(".propolis-*") if path.is_dir()]
    assert clones
    kept = journal.read_bytes()
    journal.unlink()  # as with a state folder that was lost, or restored from elsewhere
    stack.recover()
    assert all(clone.is_dir() for clone in clones)
    assert str(clones[0]) in stack.propolis.ok("status").out
    journal.write_bytes(kept)
    stack.recover()


@pytest.mark.parametrize(("step", "moments"), [("check", (1, 2, 23)), ("clone", (1, 9))])
def test_what_is_made_within_a_step_is_named_before_it_is_made(
    fake_stack: FakeStack, step: str, moments: tuple[int, ...]
) -> None:
    """Killed when so many folders were just made: recovery knows them."""
    stack = fake_stack
    number = stack.propolis.step("backup", step)
    for made in moments:
        stack.propolis.killed(number, f"made:{made}", "backup")
        stack.wait_until_recovered()
        assert list(stack.root.rglob(".propolis-*")) == []


KILLED_DOCTOR = """
import os, signal, sys
from pathlib import Path
from propolis.checks import checks
from propolis.config.load import load
made = []
def hook(event, arguments):
    if event == "os.mkdir" and ".propolis-" in os.fspath(arguments[0]):
        made.append(1)
        if len(made) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
checks(load(Path(sys.argv[1])))
"""


def test_what_a_killed_doctor_tried_is_ours_too(fake_stack: FakeStack) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_DOCTOR, str(fake_stack.propolis.config_file)], check=False)
    assert done.returncode == -9
    left = list(fake_stack.root.rglob(".propolis-*"))
    assert left
    assert "leftover:" in fake_stack.propolis.ok("status").out
    fake_stack.propolis.ok("recover")
    assert list(fake_stack.root.rglob(".propolis-*")) == []
    assert not list(fake_stack.journals.glob("*.trial"))
