"""Backups and restores of stacks whose services don't all run, or are started or missed meanwhile."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fakes.stack import FakeStack
from propolis.backup.steps import CloneTrees
from propolis.command.services import KeepServices
from propolis.errors import PreflightError
from propolis.recovery import recover_held
from propolis.restore import RestoreRequest, restore
from propolis.restore.steps import ReplaceFolders
from propolis.run import Results, SilentObserver, Step
from propolis.stack.index import contents as index_contents


@contextmanager
def stopped(stack: FakeStack, *roles: str) -> Iterator[None]:
    for role in roles:
        stack.platform.stop(role)
    try:
        yield
    finally:
        stack.start()


def started(stack: FakeStack, monkeypatch: pytest.MonkeyPatch, step: type[Step[Any, Any]], role: str) -> None:
    """Let somebody start a service right before a step's own work begins."""
    work = step.do

    def do(self: Step[Any, Any], context: Any, results: Results) -> object:
        stack.platform.start(role)
        return work(self, context, results)

    monkeypatch.setattr(step, "do", do)


@pytest.mark.parametrize("step", [KeepServices, ReplaceFolders])
def test_no_folder_is_replaced_under_a_service_that_was_started_meanwhile(
    fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch, step: type[Step[Any, Any]]
) -> None:
    fake_stack.change()
    before = fake_stack.content()
    with stopped(fake_stack, "thehive"):
        started(fake_stack, monkeypatch, step, "thehive")
        with pytest.raises(PreflightError, match="TheHive was started in the meantime"):
            fake_stack.restore()
        assert fake_stack.content() == before
        fake_stack.platform.stop("thehive")


@pytest.mark.parametrize("step", [KeepServices, CloneTrees])
def test_no_folder_is_cloned_under_a_service_that_was_started_meanwhile(
    fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch, step: type[Step[Any, Any]]
) -> None:
    with stopped(fake_stack, "thehive", "database"):
        started(fake_stack, monkeypatch, step, "database")
        with pytest.raises(PreflightError, match="The database was started in the meantime"):
            fake_stack.back_up()


def test_a_restore_says_that_a_backup_of_a_stopped_stack_was_never_counted(fake_stack: FakeStack) -> None:
    with stopped(fake_stack, "thehive", "database", "index"):
        report = fake_stack.back_up()
    assert "service index: not running, so it could not be checked" in report.warnings
    before = fake_stack.content()
    fake_stack.change()
    told = fake_stack.restore().warnings
    assert fake_stack.content() == before
    assert any("the backup has no number of documents" in line for line in told), told
    assert any("version of the database: the backup doesn't have it" in line for line in told), told


def test_a_restore_says_that_a_backup_tells_nothing_of_others_indices(
    fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PreflightError("HTTP 403")

    with monkeypatch.context() as patch:
        patch.setattr(index_contents, "indices", refused)
        assert "Only the indices of TheHive could be counted: HTTP 403" in fake_stack.back_up().warnings
    told = "Only the indices of TheHive could be compared: the backup has no record of others"
    assert told in fake_stack.restore().warnings


def test_attachments_alone_are_not_restored_where_thehive_could_not_start(fake_stack: FakeStack) -> None:
    fake_stack.change()
    before = fake_stack.content()
    config = fake_stack.config
    request = RestoreRequest(
        source=config, target=config, backup="latest", identity=fake_stack.key, stores=("files",)
    )
    with stopped(fake_stack, "thehive", "database"):
        with pytest.raises(PreflightError, match="service database: not running, and not restored") as caught:
            restore(request, SilentObserver(), recover_held)
        assert "Start it" in str(caught.value)
        assert "Nothing was changed" in str(caught.value)
    assert fake_stack.content() == before


def test_a_fresh_host_gets_no_caches_folder_that_its_database_could_not_open(fake_stack: FakeStack) -> None:
    fake_stack.back_up()
    before = fake_stack.content()
    fake_stack.stop()
    for name in ("cassandra/data", "cassandra/saved_caches", "elasticsearch", "files"):
        shutil.rmtree(fake_stack.root / name)
    fake_stack.restore()
    assert fake_stack.content() == before
    assert not (fake_stack.root / "cassandra/saved_caches").exists(), "Cassandra makes it itself, as its own user"
    (fake_stack.root / "cassandra/saved_caches").mkdir()
