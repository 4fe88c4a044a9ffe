"""Index servers on which the stand-in can't run: its documents are in them, and TheHive is away."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from propolis.stack.index.contents import folders, name_on_disk
from propolis_lab.lab.disaster import crash, empty
from propolis_lab.proof import compare, snapshot
from propolis_lab.servers import thehive
from system.conftest import a_scene


@pytest.mark.parametrize("version", ["8.19.21", "9.5.3"])
def test_a_stack_without_thehive_comes_back_equal_on_newer_index_servers(lab_folder: Path, version: str) -> None:
    with a_scene(lab_folder, cases=20, attachments=40, index_version=version) as scene:
        lab, propolis = scene.lab, scene.propolis
        assert lab.services == ("database", "index")
        checks = {check["name"]: check for check in propolis.ok("doctor", "--json").json}
        assert checks["index version"]["message"] == f"elasticsearch {version}"
        assert checks["service thehive"]["result"] == "warn"

        made = propolis.ok("backup", "--json").json
        assert made["downtime"] is None
        (kept,) = [one for one in made["summary"]["header"]["facts"]["indices"] if one["name"] == "thehive_global"]
        assert kept["operations"] >= kept["documents"] == 503
        assert name_on_disk(folders(lab.layout.lib("elasticsearch"))[kept["uuid"]]) == "thehive_global"
        scene.assert_serving()
        before = snapshot(lab)
        assert before.documents["thehive_global"].count == 503
        assert before.tables["thehive.edgestore"].count == 503
        assert len(before.attachments) == 40

        crash(lab, "index", "database")
        for folder in (
            *lab.layout.cassandra_folders.values(),
            lab.layout.lib("elasticsearch"),
            lab.layout.attachments,
        ):
            empty(folder)
        scene.restore()
        scene.assert_serving()
        assert compare(before, snapshot(lab)) == []
        scene.assert_nothing_left()

        # A TheHive that runs all the same would write while its stores are cloned: nothing is stopped then.
        with socket.create_server((lab.address, thehive.PORT)):
            pids = lab.platform.pids("database")
            message = propolis.run("backup").one_clear_error(12)
            assert "no service `thehive`" in message
            assert "no service `thehive`" in propolis.run(
                "restore", "latest", "--identity", scene.key
            ).one_clear_error(12)
            assert lab.platform.pids("database") == pids
            assert "no service `thehive`" in propolis.run("doctor").out
