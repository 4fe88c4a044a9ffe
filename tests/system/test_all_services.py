"""Cortex with an index of its own, and a MinIO of the stack's own that encrypts: backed up, lost, restored, equal.

Only steps at which these services can break something are killed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from propolis_lab.lab.disaster import lose_everything
from propolis_lab.proof import Proof, compare, snapshot
from system.conftest import Scene, a_scene

SERVICES = ("minio", "database", "index", "cortex-index", "cortex", "thehive")


@pytest.fixture(scope="module")
def wide(lab_folder: Path) -> Iterator[Scene]:
    with a_scene(lab_folder, cases=5, attachments=30, jobs=20, files="s3", minio="encrypted", cortex="own") as scene:
        assert scene.lab.services == SERVICES
        yield scene


@pytest.fixture
def whole(wide: Scene) -> Iterator[Scene]:
    """The stack, and the promise that a test leaves it serving with nothing half done."""
    yield wide
    wide.assert_serving()
    wide.assert_nothing_left()


@pytest.fixture(scope="module")
def before(wide: Scene) -> Proof:
    """What the stack holds, and its newest backup, too."""
    wide.propolis.ok("doctor")
    wide.propolis.ok("backup")
    wide.lab.seed_jobs(4, seed=7)
    wide.lab.seed(1, 6, seed=7)
    second = wide.propolis.ok("backup", "--json").json
    assert second["stats"]["unchanged"] > 30, "the second backup must not read again what the first has"
    return snapshot(wide.lab)


def test_what_was_lost_comes_back_equal_job_by_job_object_by_object(whole: Scene, before: Proof) -> None:
    assert before.jobs is not None
    assert before.jobs.count == 24
    assert len(before.attachments) >= 36
    lose_everything(whole.lab)
    whole.restore()
    assert compare(before, snapshot(whole.lab)) == []
    assert whole.propolis.ok("verify", "latest", "--identity", whole.key, "--json").json["decrypted"] is True


def test_a_backup_killed_while_they_are_down_brings_them_back(whole: Scene, before: Proof) -> None:
    whole.propolis.killed(whole.propolis.step("backup", "clone"), "after", "backup")
    whole.propolis.wait_until_recovered()
    whole.assert_serving()
    assert compare(before, snapshot(whole.lab)) == []


@pytest.mark.parametrize("title", ["start MinIO", "start Cortex"])
def test_a_restore_killed_as_they_start_leaves_the_former_or_the_restored_data(
    whole: Scene, before: Proof, title: str
) -> None:
    step = whole.propolis.step("restore", title, "latest")
    whole.propolis.killed(step, "after", "restore", "latest", "--identity", whole.key)
    whole.propolis.wait_until_recovered()
    whole.assert_serving()
    assert compare(before, snapshot(whole.lab)) == []
