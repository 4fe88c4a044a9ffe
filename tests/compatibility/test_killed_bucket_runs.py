"""What an earlier version left half done in a bucket when it was killed is taken back or finished by this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compatibility.runs import address, lay
from compatibility.sets import Set, lacks, sets
from fakes.bucket import contents, refill, use_bucket
from fakes.stack import FakeStack
from propolis.report.json import plain
from propolis.run.journals import read_journal
from propolis.stack.asking import retry
from propolis.status import status
from propolis_lab.servers.minio import S3Server

BUCKET = "attachments"
RUNS = [(made, run) for made in sets() for run in made.read("bucket-runs.json")["runs"]]


@pytest.fixture(scope="module")
def bucket_stack(tmp_path_factory: pytest.TempPathFactory, minio: S3Server) -> Iterator[FakeStack]:
    minio.make_bucket(BUCKET)
    with pytest.MonkeyPatch.context() as patch, FakeStack.up(tmp_path_factory.mktemp("bucket")) as stack:
        patch.setattr(retry, "_PAUSE", 0.02)  # fake services answer at once
        use_bucket(stack, minio, BUCKET)
        yield stack


@pytest.mark.parametrize(("made", "run"), RUNS, ids=lambda value: getattr(value, "version", value))
def test_a_killed_run_is_put_right_in_its_bucket(
    bucket_stack: FakeStack, minio: S3Server, made: Set, run: str, tmp_path: Path
) -> None:
    stack, store = bucket_stack, minio.store(BUCKET)
    made.unpack("bucket-runs.tar.xz", tmp_path / "runs")
    values = {"FOLDER": stack.root.parent, "ADDRESS": address(stack), "ENDPOINT": minio.endpoint}
    then = made.read("bucket-runs.json", **values)["runs"][run]
    refill(store, {key: text.encode() for key, text in then["objects"].items()})
    journal = lay(stack, tmp_path / "runs" / run, then["running"], **values)

    assert lacks(plain(status(stack.config)), then["status"]) == []

    stack.recover()
    stack.assert_serving()
    stack.assert_nothing_left()
    state = read_journal(journal)
    assert state is not None
    assert state.outcome == then["outcome"]
    assert {key: content.decode() for key, content in contents(store).items()} == then["objects after"]
    assert list((stack.root / "state").glob("bucket-*")) == []


def test_a_restore_was_taken_back_and_another_one_finished() -> None:
    for made in sets():
        found = made.read("bucket-runs.json")["runs"].values()
        assert {run["outcome"] for run in found} == {"undone by recovery", "finished by recovery"}
        assert any(run["objects"] != run["objects after"] for run in found)
