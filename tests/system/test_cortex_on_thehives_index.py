"""Cortex whose index lies in TheHive's: both come back from one folder, and either's files alone."""

from __future__ import annotations

from pathlib import Path

from propolis_lab.lab.disaster import crash, empty, lose_everything
from propolis_lab.proof import compare, snapshot
from system.conftest import a_scene


def test_cortex_and_thehive_come_back_equal_from_one_index(lab_folder: Path) -> None:
    with a_scene(lab_folder, cases=4, attachments=20, jobs=20, cortex="thehive", index="opensearch") as scene:
        lab = scene.lab
        assert lab.services == ("database", "index", "cortex", "thehive")
        told = scene.propolis.ok("backup", "--json").json["summary"]["header"]["facts"]["indices"]
        assert {one["name"] for one in told} >= {"cortex_6", "thehive_global"}
        before = snapshot(lab)
        assert before.jobs is not None
        assert before.jobs.count == 20
        lose_everything(lab)
        scene.restore()
        assert compare(before, snapshot(lab)) == []
        scene.assert_serving()
        scene.assert_nothing_left()

        crash(lab, "cortex")
        empty(lab.layout.jobs)
        index = lab.platform.pids("index")
        scene.restore("--only", "files")
        assert lab.platform.pids("index") == index, "the index was not to be stopped"
        assert compare(before, snapshot(lab)) == []
        scene.assert_serving()
