"""The main job: cold backups, a disaster, the restore, the proof."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from propolis.stack.index.contents import folders, name_on_disk
from propolis_lab.lab import Lab, Options
from propolis_lab.lab.disaster import empty, lose_everything
from propolis_lab.proof import compare, snapshot
from propolis_lab.proof.outside import Watcher
from system.command import Propolis
from system.conftest import Scene, a_scene

OTHER_PASSWORD = "it's another host's"


def assert_nowhere(secret: str, *folders: Path) -> None:
    """No file below these folders holds the secret."""
    for folder in folders:
        for path in folder.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def is_there(lab: Lab, written: dict[str, Any]) -> bool:
    """Whether an acknowledged case or attachment is there, with the right content; others hang on their case."""
    if written["label"] == "Case":
        return bool(lab.api("GET", f"/api/v1/case/{written['number']}")["title"] == written["title"])
    if written["label"] == "Attachment":
        digest = written["attachmentId"]
        content = (lab.layout.attachments / "attachment" / digest).read_bytes()
        return bool(hashlib.sha256(content).hexdigest() == digest)
    return True


def test_what_was_lost_comes_back_equal_row_by_row_document_by_document_file_by_file(settled: Scene) -> None:
    settled.propolis.ok("backup")  # a restore before made every file anew
    settled.lab.seed(3, 10, seed=77)
    second = settled.propolis.ok("backup", "--json").json
    assert second["stats"]["unchanged"] > 60, "the second backup must not read again what the first has"
    before = snapshot(settled.lab)
    lose_everything(settled.lab)
    settled.restore()
    assert compare(before, snapshot(settled.lab)) == []
    assert settled.propolis.ok("verify", "latest", "--identity", settled.key, "--json").json["decrypted"] is True


def test_data_newer_than_the_backup_is_gone_after_a_restore_and_nothing_of_it_is_mixed_in(settled: Scene) -> None:
    settled.propolis.ok("backup")
    before = snapshot(settled.lab)
    settled.lab.seed(2, 5, seed=78)
    assert compare(before, snapshot(settled.lab)) != []
    settled.restore()
    assert compare(before, snapshot(settled.lab)) == []


def test_whatever_was_acknowledged_before_the_stop_is_in_the_backup(settled: Scene) -> None:
    log = settled.lab.layout.acknowledgements

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    already = len(lines())
    settled.lab.api("POST", "/api/v1/lab/load", {"per-second": 20})
    deadline = time.monotonic() + 180
    while len(lines()) < already + 40:
        assert time.monotonic() < deadline, "the load writes nothing"
        time.sleep(0.2)
    settled.propolis.ok("backup")  # the load ends with the stop: all that is in the log was acknowledged before
    acknowledged = [json.loads(line) for line in lines()[already:]]
    lose_everything(settled.lab)
    settled.restore()
    missing = [one for one in acknowledged if not is_there(settled.lab, one)]
    assert missing == [], f"{len(missing)} of {len(acknowledged)} acknowledged writes are missing"


def test_one_store_alone_can_be_restored_with_only_its_services_stopped(settled: Scene) -> None:
    settled.propolis.ok("backup")
    before = snapshot(settled.lab)
    empty(settled.lab.layout.attachments)
    database = settled.lab.platform.pids("database")
    settled.restore("--only", "files")
    assert settled.lab.platform.pids("database") == database, "the database was not to be stopped"
    assert compare(before, snapshot(settled.lab)) == []


def test_thehive_is_away_during_a_backup_only_as_long_as_the_backup_says(settled: Scene) -> None:
    with Watcher(settled.lab.thehive_url) as watcher:
        told = settled.propolis.ok("backup", "--json").json["downtime"]
    assert 0 < watcher.downtime <= told + 1.5
    assert any(good for _, good in watcher.answers[-5:])


@pytest.mark.parametrize("step", ["move", "wait for TheHive", "check that"])
def test_a_restore_that_fails_puts_the_former_data_back_and_running(settled: Scene, step: str) -> None:
    before = snapshot(settled.lab)
    number = settled.propolis.step("restore", step, "latest")
    ran = settled.propolis.disturbed(number, "fail", "restore", "latest", "--identity", settled.key)
    assert "The test let this step fail" in ran.one_clear_error(1)
    assert compare(before, snapshot(settled.lab)) == []


def test_a_backup_is_restored_onto_another_host_with_another_address_and_password(
    settled: Scene, lab_folder: Path
) -> None:
    settled.propolis.ok("backup")
    before = snapshot(settled.lab)
    root = lab_folder / "other-host"
    password = settled.lab.record.database_password
    with Lab.up(root, Options(empty=True, like=str(settled.lab.root))) as other:
        assert other.address != settled.lab.address
        settings = other.root / "etc/thehive/application.conf"
        settings.write_text(settings.read_text().replace(f'"{password}"', f'"{OTHER_PASSWORD}"'))
        line = next(n for n, text in enumerate(settings.read_text().splitlines(), 1) if OTHER_PASSWORD in text)

        refused = settled.propolis.run("restore", "latest", "--identity", settled.key, "--to", root)
        message = refused.one_clear_error(12)
        assert "the password of Cassandra's role thehive is the one in the backup" in message
        assert f"{settings}:{line} (db.janusgraph.storage.password)" in message
        assert "--set-password" in message
        assert not any(other.layout.cassandra_folders["data"].iterdir()), "nothing was to be touched"

        planned = settled.propolis.plan(
            "restore", "latest", "--identity", settled.key, "--to", root, "--set-password"
        )
        step = planned.index("give the role thehive of the database this host's password")
        assert planned.index("wait for the database (query succeeds)") < step < planned.index("start TheHive")
        settled.restore("--to", root, "--set-password")
        differences = [difference.what for difference in compare(before, snapshot(other))]
        assert differences == ["table system_auth.roles"], "the password, and nothing else"
        assert_nowhere(OTHER_PASSWORD, other.root / "var/lib/propolis", other.layout.log("cassandra"))
        assert_nowhere(password, other.root / "var/lib/propolis/journal", other.layout.log("cassandra"))
        assert (other.root / "etc/thehive/application.conf").read_text().count(other.address), "its own stays"
        laid = list((other.root / "var/lib/propolis/restored-config").rglob("application.conf"))
        assert len(laid) == 1, "the other host's configuration lies beside, for comparison"


def test_another_cluster_name_is_refused_before_anything_is_touched(settled: Scene, lab_folder: Path) -> None:
    root = lab_folder / "other-cluster"
    with Lab.up(root, Options(empty=True, like=str(settled.lab.root), cluster_name="another")) as other:
        ran = settled.propolis.run("restore", "latest", "--identity", settled.key, "--to", root)
        message = ran.one_clear_error(12)
        assert "'another'" in message
        assert "Nothing was changed" in message
        assert not any(other.layout.cassandra_folders["data"].iterdir())


def test_a_bucket_and_opensearch_come_back_equal(lab_folder: Path) -> None:
    with a_scene(lab_folder, cases=10, attachments=40, files="s3", index="opensearch") as scene:
        first = scene.propolis.ok("backup", "--json").json["summary"]["header"]["facts"]["indices"]
        (kept,) = [one for one in first if one["name"] == "thehive_global"]
        assert kept["operations"] >= kept["documents"] > 0
        assert name_on_disk(folders(scene.lab.layout.lib("opensearch"))[kept["uuid"]]) == "thehive_global"
        scene.lab.seed(2, 8, seed=5)
        second = scene.propolis.ok("backup", "--json").json
        assert second["stats"]["unchanged"] >= 40
        before = snapshot(scene.lab)
        lose_everything(scene.lab)
        scene.restore()
        assert compare(before, snapshot(scene.lab)) == []
        scene.assert_nothing_left()
        number = scene.propolis.step("restore", "upload the objects", "latest") + 1
        scene.lab.s3.empty_bucket()
        scene.propolis.killed(number, "after", "restore", "latest", "--identity", scene.key)
        scene.propolis.wait_until_recovered()
        assert not any(scene.lab.s3.store("thehive").list()), "what a killed restore added is taken back"
        scene.restore()
        assert compare(before, snapshot(scene.lab)) == []


def test_init_reads_the_stack_from_its_configuration_files_alone(settled: Scene, tmp_path: Path) -> None:
    settled.lab.stop_all()
    out = tmp_path / "propolis.yaml"
    settled.propolis.ok("init", "--root", settled.lab.root, "--repository", settled.repository, "--output", out)
    text = out.read_text()
    assert settled.lab.record.database_password not in text
    assert out.stat().st_mode & 0o077 == 0
    Propolis(out).ok("config", "check")
    settled.lab.start_all()
