"""Whole backups and restores of stacks that have Cortex, and MinIO of their own; on fake services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.stack import Cortex, FakeStack
from propolis.errors import PreflightError
from propolis.recovery import recover_held
from propolis.restore import RestoreRequest, restore
from propolis.run import SilentObserver
from propolis.stack.asking import retry


@pytest.fixture(scope="module")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStack]:
    """A stack with every service there is, and one backup."""
    with FakeStack.up(tmp_path_factory.mktemp("whole"), cortex="own", minio=True) as made:
        made.back_up()
        yield made


@pytest.fixture
def whole(whole_stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStack]:
    """The stack, whose content is that of the newest backup before and after."""
    monkeypatch.setattr(retry, "_PAUSE", 0.02)
    before = whole_stack.content()
    yield whole_stack
    assert whole_stack.content() == before
    whole_stack.assert_serving()
    whole_stack.assert_nothing_left()


def request(stack: FakeStack) -> tuple[str, ...]:
    return "restore", "latest", "--identity", str(stack.key), "--yes"


@pytest.mark.parametrize(("cortex", "minio"), [("own", True), ("shared", False), ("none", True)])
def test_a_whole_stack_comes_back_byte_by_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cortex: Cortex, minio: bool
) -> None:
    monkeypatch.setattr(retry, "_PAUSE", 0.02)
    with FakeStack.up(tmp_path, cortex=cortex, minio=minio) as stack:
        before = stack.content()
        stack.back_up()
        stack.change()
        assert stack.content() != before
        # The index of somebody else's would be refused: Cortex's is this stack's.
        stack.restore()
        assert stack.content() == before
        stack.assert_serving()
        stack.assert_nothing_left()


def test_a_manifest_tells_every_service_and_what_its_index_held(whole: FakeStack) -> None:
    told = whole.propolis.ok("show", "latest", "--json").json["header"]
    assert told["services"]["cortex"] == "cortex 3.1.8-1"
    assert told["services"]["cortex-index"] == "elasticsearch 7.17.29"
    assert told["services"]["minio"] == "minio 2025-04-22T22:12:26Z"
    assert told["facts"]["cortex-index"]["documents"] == {"cortex_6": 1}
    assert told["facts"]["documents"] == {"thehive_global": 2}
    trees = {tree["name"] for tree in told["trees"]}
    assert trees >= {"index/cortex", "files/cortex-jobs", "files/minio-data-0", "config/cortex", "config/minio"}
    assert "files/bucket" not in trees


def test_services_stop_before_what_they_need_and_start_after_it(whole: FakeStack) -> None:
    steps = whole.propolis.plan("backup")
    stops = [step for step in steps if step.startswith(("stop", "drain"))]
    order = ("TheHive", "Cortex", "MinIO", "Cortex's index", "the index", "the database")
    assert [name in step for name, step in zip(order, stops, strict=True)] == [True] * len(order)
    counts = [number for number, step in enumerate(steps) if step.startswith("count")]
    assert len(counts) == 2
    assert steps[min(counts) - 1].startswith("stop Cortex")
    first = steps.index("start Cortex")
    assert all("wait" in step for step in steps[first - 4 : first])


def step_of(stack: FakeStack, command: tuple[str, ...], title: str) -> int:
    steps = stack.propolis.plan(*command)
    (found,) = [number for number, step in enumerate(steps) if re.match(title, step)]
    return found


NEW = (
    *("stop Cortex$", "stop MinIO", "stop Cortex's index", "start Cortex's index", "start MinIO"),
    *("wait .*MinIO", "wait .*Cortex's index", "start Cortex$", "wait .* Cortex ?(?!'s index)"),
)


@pytest.mark.parametrize("title", [*NEW, "count .* of Cortex's index"])
def test_a_backup_killed_after_a_step_of_theirs_costs_nothing(whole: FakeStack, title: str) -> None:
    whole.propolis.killed(step_of(whole, ("backup",), title), "after", "backup")
    whole.wait_until_recovered()
    whole.assert_serving()
    whole.assert_nothing_left()


@pytest.mark.parametrize("title", [*NEW, "fetch files/minio-data-0", "check that .*MinIO", "move .* aside"])
def test_a_restore_killed_after_a_step_of_theirs_is_kept_whole_or_undone_whole(whole: FakeStack, title: str) -> None:
    backed_up = whole.content()
    whole.change()
    newer = whole.content()
    whole.propolis.killed(step_of(whole, request(whole), title), "after", *request(whole))
    whole.wait_until_recovered()
    whole.assert_serving()
    assert whole.content() in (newer, backed_up)
    whole.restore()


@pytest.mark.parametrize("role", ["cortex", "minio", "cortex-index"])
def test_a_restore_whose_service_does_not_come_up_is_undone(whole: FakeStack, role: str) -> None:
    backed_up = whole.content()
    whole.change()
    newer = whole.content()

    class Breaks(SilentObserver):
        """Lets the service end as soon as it is started, once: for its next start it is well again."""

        def step_started(self, number: int, count: int, title: str) -> None:
            if title.startswith("move"):
                whole.tell(role, "breaks")

        def undoing(self, title: str) -> None:
            whole.forget(role, "breaks")

    with pytest.raises(PreflightError, match="ended before it answered"):
        whole.restore(Breaks())
    assert whole.content() == newer
    whole.restore()
    assert whole.content() == backed_up


def test_a_bucket_that_minio_lacks_is_said_before_anything_stops(whole: FakeStack) -> None:
    (whole.root / "minio/thehive").rename(whole.root / "minio/elsewhere")
    try:
        refused = whole.propolis.run("backup")
        assert refused.code == 12
        assert "bucket" in refused.err
    finally:
        (whole.root / "minio/elsewhere").rename(whole.root / "minio/thehive")


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[FakeStack]:
    """A stack that has neither, with a backup."""
    with FakeStack.up(tmp_path) as stack:
        stack.back_up()
        yield stack


def into(source: FakeStack, target: FakeStack, *without: str) -> None:
    config = target.config.model_copy(update=dict.fromkeys(without))
    asked = RestoreRequest(source.config, config, "latest", source.key, without=without)
    restore(asked, SilentObserver(), recover_held)


def test_a_backup_with_services_that_the_target_lacks_is_refused_by_name(whole: FakeStack, plain: FakeStack) -> None:
    before = plain.content()
    with pytest.raises(PreflightError, match=r"has no place for .*config/cortex") as refused:
        into(whole, plain)
    assert "--without cortex --without minio" in str(refused.value)
    assert plain.content() == before
    # Left out, they go nowhere; but nothing of the target's could hold MinIO's attachments.
    with pytest.raises(PreflightError, match=r"lacks files/folder($|[^,])"):
        into(whole, plain, "cortex", "minio")


def test_a_backup_without_a_service_that_the_target_has_is_refused_by_name_and_can_leave_it_alone(
    plain: FakeStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with FakeStack.up(tmp_path_factory.mktemp("target"), cortex="own") as target:
        with pytest.raises(PreflightError, match="the backup lacks index/cortex, files/cortex-jobs, config/cortex"):
            into(plain, target)
        before = target.content()
        target.change()
        changed = target.content()
        into(plain, target, "cortex")
        after = target.content()
        cortex = [name for name in before if "cortex" in name]
        assert {name: after[name] for name in cortex} == {name: changed[name] for name in cortex}
        assert "since" not in [text for name, text in after.items() if "cortex" not in name and "etc" not in name]
        target.assert_serving()


def test_a_cortex_in_thehives_index_that_is_left_out_keeps_its_data(
    plain: FakeStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with FakeStack.up(tmp_path_factory.mktemp("target"), cortex="shared") as target:
        before = target.content()
        with pytest.raises(PreflightError, match="index cortex_6: it isn't TheHive's"):
            into(plain, target, "cortex")
        assert target.content() == before
        target.assert_serving()
