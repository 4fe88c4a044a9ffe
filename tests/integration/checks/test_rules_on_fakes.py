"""What a backup and a restore refuse, say and lift, on a whole stack of fake services."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fakes.stack import FakeStack
from propolis.backup import BackupOptions, BackupReport, back_up
from propolis.checks import checks
from propolis.command import control
from propolis.command.context import Context
from propolis.command.services import KeepServices
from propolis.errors import IntegrityError, PreflightError
from propolis.recovery import recover_held
from propolis.repository import Location, Repository, read_identities
from propolis.run import SilentObserver


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propolis.backup.steps.CHECK_SECONDS", 0.3)
    monkeypatch.setattr("propolis.checks.look.PATIENCE", 0.3)
    monkeypatch.setattr(control, "UNHEALTHY_PATIENCE", 1.0)


@contextmanager
def told(stack: FakeStack, role: str, what: str, parameter: str) -> Iterator[None]:
    stack.tell(role, what, parameter)
    try:
        yield
    finally:
        stack.forget(role, what)


def running(stack: FakeStack) -> dict[str, Any]:
    return {name: stack.platform.pids(name) for name in ("thehive", "database", "index")}  # type: ignore[attr-defined]


def refused(stack: FakeStack) -> str:
    """A backup is refused, and no service was touched for it."""
    before = running(stack)
    with pytest.raises(PreflightError, match="Nothing was changed") as caught:
        stack.back_up()
    assert running(stack) == before
    return str(caught.value)


def doctors(stack: FakeStack, result: str) -> set[str]:
    return {check.name for check in checks(stack.config) if check.result == result}


def manifest_of(stack: FakeStack, report: BackupReport) -> dict[str, Any]:
    config = stack.config
    repository = Repository.open(Location.from_config(config.repository), read_identities(config.repository.host_key))
    return dict(repository.summary(report.summary.id).header.facts)


def test_a_backup_without_thehives_index_is_refused_before_anything_is_stopped(fake_stack: FakeStack) -> None:
    index = fake_stack.root / "elasticsearch/indices/thehive_global"
    aside = fake_stack.root / "aside"
    index.rename(aside)
    try:
        assert "there is no open index whose name begins with thehive" in refused(fake_stack)
        assert "index contents" in doctors(fake_stack, "fail")
    finally:
        aside.rename(index)
    with told(fake_stack, "index", "closed", "thehive_global"):
        text = refused(fake_stack)
        assert "there is no open index whose name begins with thehive, closed: thehive_global" in text
        assert "POST /thehive_global/_open" in text
        other = index.with_name("thehive_other")
        other.mkdir()
        assert "thehive_global is closed: TheHive does not start without it" in refused(fake_stack)
        assert "index contents" in doctors(fake_stack, "fail")
        rebuilt = other.rename(index.with_name("thehive_global1"))
        assert "index contents" not in doctors(fake_stack, "fail"), "a rebuilt index takes its place"
        rebuilt.rmdir()


def test_a_thehive_that_is_not_healthy_is_stopped_only_on_request(fake_stack: FakeStack) -> None:
    with told(fake_stack, "thehive", "health", "Error"):
        text = refused(fake_stack)
        assert "/api/health: Error" in text
        assert "--force-unhealthy" in text
        report = back_up(fake_stack.config, SilentObserver(), recover_held, BackupOptions(force_unhealthy=True))
    assert any("--force-unhealthy" in warning for warning in report.warnings)
    assert any("because of --force-unhealthy" in warning for warning in report.warnings)
    assert report.downtime is None, "it did not come back healthy, so nobody knows"
    kept = manifest_of(fake_stack, report)["warnings"]
    assert kept == list(report.warnings)
    shown = fake_stack.propolis.ok("show", report.summary.id).out
    assert "--force-unhealthy" in shown
    assert fake_stack.propolis.ok("show", report.summary.id, "--json").json["header"]["facts"]["warnings"] == kept


def test_every_index_is_counted_and_has_to_come_back(fake_stack: FakeStack) -> None:
    indices = fake_stack.root / "elasticsearch/indices"
    for name in ("audit_of_thehive", "old", ".security-7"):
        (indices / name).mkdir()
        (indices / name / "1").write_text("document")
    with told(fake_stack, "index", "closed", "old"):
        report = fake_stack.back_up()
        facts = {one["name"]: one for one in manifest_of(fake_stack, report)["indices"]}
        assert set(facts) == {"thehive_global", "audit_of_thehive", "old", ".security-7"}
        assert (facts["audit_of_thehive"]["documents"], facts["old"]["open"]) == (1, False)
        before = fake_stack.content()
        shutil.rmtree(indices / "audit_of_thehive")
        fake_stack.restore()
        assert fake_stack.content() == before
    with pytest.raises(IntegrityError, match="old was closed and is open"):
        fake_stack.restore()
    with (
        told(fake_stack, "index", "closed", "old,audit_of_thehive"),
        pytest.raises(IntegrityError, match="audit_of_thehive was open and is closed"),
    ):
        fake_stack.restore()
    for name in ("audit_of_thehive", "old", ".security-7"):
        shutil.rmtree(indices / name)
    fake_stack.back_up()


def test_an_index_that_takes_no_writes_is_said_and_lifted_when_there_is_room(fake_stack: FakeStack) -> None:
    with told(fake_stack, "index", "blocked", "thehive_global"):
        assert "index writes" in doctors(fake_stack, "fail")
        report = fake_stack.back_up()
        assert any("index.blocks.read_only_allow_delete" in warning for warning in report.warnings)
        with told(fake_stack, "index", "free", "50"):
            restored = fake_stack.restore()
            assert any("Free some space" in warning for warning in restored.warnings)
            assert "index writes" in doctors(fake_stack, "fail")
        restored = fake_stack.restore()
        assert any("the block was lifted" in warning for warning in restored.warnings)
        assert "index writes" in doctors(fake_stack, "ok")


def test_recovery_of_a_forced_backup_asks_no_more_of_thehive_than_it_was(fake_stack: FakeStack) -> None:
    promise = KeepServices(services=("thehive",), may_be_unhealthy=True)
    with told(fake_stack, "thehive", "health", "Error"):
        fake_stack.platform.stop("thehive")
        with Context(fake_stack.config, SilentObserver(), "20261127T000000Z") as recovering:
            promise.undo(recovering)
        assert running(fake_stack)["thehive"]
