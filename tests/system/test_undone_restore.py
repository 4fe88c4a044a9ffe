"""A finished restore is undone on real servers: the newer data is back, also when the undo is killed.

Fake services are killed after every single step (`tests/integration/recovery/test_undone_restore.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from propolis_lab.proof import Proof, compare, snapshot
from system.conftest import Scene


@pytest.fixture(scope="module")
def backed_up(scene: Scene) -> Proof:
    """What the newest backup holds."""
    scene.propolis.ok("backup")
    return snapshot(scene.lab)


@pytest.fixture
def restored(scene: Scene, backed_up: Proof) -> Iterator[tuple[Scene, Proof]]:
    """A stack that was restored over newer data, which it keeps, and the proof of that data."""
    scene.lab.seed(2, 5, seed=91)
    newer = snapshot(scene.lab)
    assert compare(backed_up, newer) != []
    scene.restore("--keep-old", "3")
    assert compare(backed_up, snapshot(scene.lab)) == []
    yield scene, newer
    scene.propolis.ok("clean", "--all")
    scene.assert_serving()
    scene.assert_nothing_left()


def test_undo_brings_the_newer_data_back_and_a_second_one_the_restored(
    restored: tuple[Scene, Proof], backed_up: Proof
) -> None:
    scene, newer = restored
    (kept,) = scene.propolis.ok("status", "--json").json["kept"]
    assert kept["missing"] == []
    assert kept["bytes"] > 0
    undone = scene.propolis.ok("restore", "--undo", "--json").json
    assert undone["undone"] == kept["run"]
    assert undone["downtime"] > 0
    scene.assert_serving()
    assert compare(newer, snapshot(scene.lab)) == []
    scene.propolis.ok("restore", "--undo")
    assert compare(backed_up, snapshot(scene.lab)) == []


@pytest.mark.parametrize("title", ["move", "accept"])
def test_an_undo_killed_after_a_step_leaves_the_newer_or_the_restored_data(
    restored: tuple[Scene, Proof], backed_up: Proof, title: str
) -> None:
    scene, newer = restored
    scene.propolis.killed(scene.propolis.step("restore", title, "--undo"), "after", "restore", "--undo")
    scene.propolis.wait_until_recovered()
    scene.assert_serving()
    if compare(backed_up, snapshot(scene.lab)) == []:
        scene.propolis.ok("restore", "--undo", "--no-keep-old")
    assert compare(newer, snapshot(scene.lab)) == []
