"""What an earlier version left half done when it was killed, at any step, is undone or finished by this one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compatibility.runs import STORES, address, lay
from compatibility.sets import Set, copy_folder, lacks, sets
from fakes.stack import ROLES, FakeStack
from propolis.platform.base import ServiceState
from propolis.report.json import plain
from propolis.run.journals import read_journal
from propolis.status import status

RUNS = [(made, run) for made in sets() for run in made.read("runs.json")["runs"]]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The runs of each version, where they are unpacked."""
    folders = {made.version: tmp_path_factory.mktemp("runs") / made.version for made in sets()}
    for made in sets():
        made.unpack("runs.tar.xz", folders[made.version])
    return folders


@pytest.fixture
def stack(fake_stack: FakeStack) -> Iterator[FakeStack]:
    """The stack, whose stores a test leaves as they were."""
    before = fake_stack.root.parent / "before"
    for store in STORES:
        copy_folder(fake_stack.root / store, before / store)
    yield fake_stack
    for store in STORES:
        shutil.rmtree(fake_stack.root / store)
        (before / store).rename(fake_stack.root / store)
    before.rmdir()


@pytest.mark.parametrize(("made", "run"), RUNS, ids=lambda value: getattr(value, "version", value))
def test_a_killed_run_is_told_and_put_right(stack: FakeStack, unpacked: dict[str, Path], made: Set, run: str) -> None:
    values = {"FOLDER": stack.root.parent, "ADDRESS": address(stack)}
    known = made.read("runs.json", **values)
    then: dict[str, Any] = known["runs"][run]
    journal = lay(stack, unpacked[made.version] / run, then["running"], **values)

    assert lacks(plain(status(stack.config)), then["status"]) == []

    stack.recover()
    stack.assert_serving()
    stack.assert_nothing_left()
    state = read_journal(journal)
    assert state is not None
    assert state.outcome == then["outcome"]
    assert stack.content() == known["contents"][then["content"]]
    assert all(stack.platform.state(role) is ServiceState.RUNNING for role in ROLES)


def test_every_set_has_runs_of_both_kinds_undone_and_finished() -> None:
    for made in sets():
        runs = made.read("runs.json")["runs"]
        seen = {(run.split("-")[0], found["outcome"]) for run, found in runs.items()}
        assert len(seen) == 4, (made.version, seen)
