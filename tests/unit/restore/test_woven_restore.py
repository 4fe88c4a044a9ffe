"""The coordinator of a restore on several hosts: all of them keep it, or all undo it, whatever fails in between."""

from pathlib import Path
from typing import Any

import pytest

from propolis.clock import utc_now
from propolis.config.schema import Config
from propolis.errors import InDoubt, PropolisError
from propolis.hosts.connect import connect
from propolis.hosts.plan import woven_plan
from propolis.repository import write_identity
from propolis.repository.records.verdicts import ask, give
from propolis.restore.hosts.verdict import verdict_on
from propolis.restore.woven.steps import WOVEN_RESTORE_STEPS, GiveVerdict, PreparedOnHosts
from propolis.run import Journal, SilentObserver, execute, read_journal
from propolis.run.interrupts import Interrupts
from propolis.run.journal import journal_file
from propolis.run.recovering import recover
from unit.hosts.fake_agent import FILES, Agent, Coordinated, config_of
from unit.repository.conftest import vault  # noqa: F401 - a fixture
from unit.repository.repository_tools import Vault

RUN = f"{utc_now():%Y%m%dT%H%M%SZ}-0a1b2c"
HOSTS = ("hive", "db1", "db2")
PLAN = ("check", "stage", "promise", "stop:database", "replace", "start:0", "prepare", "accept", "drop")


class Restore:
    """A restore on agents that live in the test; the repository is real."""

    def __init__(self, vault: Vault, folder: Path) -> None:  # noqa: F811
        self.vault, self.folder = vault, folder
        self.log: list[str] = []
        self.agents = {name: Agent(self.log, name, PLAN, ("database",)) for name in HOSTS}
        self.agents["hive"].facts = FILES
        write_identity(folder / "host.key", vault.host_key)
        self.config = self._config()

    def _config(self) -> Config:
        config = config_of(*HOSTS)
        place = {"url": str(self.vault.folder), "host_key": self.folder / "host.key"}
        update = {"repository": config.repository.model_copy(update=place), "state": self.folder / "state"}
        return config.model_copy(update=update)

    def run(self) -> None:
        interrupts = Interrupts()
        with interrupts.active(), Coordinated(self.config, self.agents) as context:
            context.run_id = RUN
            parts = connect(context, "restore", {}, None)
            plan = woven_plan("restore", parts, [PreparedOnHosts(hosts=HOSTS), GiveVerdict(host="hive")])
            journal = Journal.create(
                self.folder,
                run_id=RUN,
                command="restore",
                steps=plan.builtins(),
                commit=plan.commit,
                prepare=plan.prepare,
                facts={},
            )
            execute(plan, context, journal, SilentObserver(), interrupts, verdict_on)

    def recover(self) -> str:
        state = read_journal(journal_file(self.folder, RUN))
        assert state is not None
        assert state.is_open
        with Coordinated(self.config, self.agents, is_recovery=True) as context:
            context.run_id = RUN
            return recover(state, WOVEN_RESTORE_STEPS, context, SilentObserver(), verdict_on)

    @property
    def outcome(self) -> str | None:
        state = read_journal(journal_file(self.folder, RUN))
        assert state is not None
        return state.outcome

    def told(self, what: str) -> list[str]:
        """Which hosts were told so."""
        return sorted(host for host in HOSTS if f"{host} {what}" in self.log)


@pytest.fixture
def restore(vault: Vault, tmp_path: Path) -> Restore:  # noqa: F811
    folder = tmp_path / "coordinator"
    folder.mkdir()
    return Restore(vault, folder)


ALL = sorted(HOSTS)


def test_all_hosts_accept_once_the_verdict_keeps_what_all_prepared(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[list[str]] = []
    do = GiveVerdict.do

    def watched(step: GiveVerdict, context: Any, results: Any) -> None:
        before.append(list(restore.log))
        do(step, context, results)

    monkeypatch.setattr(GiveVerdict, "do", watched)
    restore.run()
    assert ask(restore.vault.host, RUN) == "keep"
    (log,) = before
    assert {f"{host} do prepare" for host in HOSTS} <= set(log)
    assert not any(line.endswith("do accept") for line in log)
    assert restore.told("do accept") == restore.told("do drop") == restore.told("close done") == ALL
    assert restore.outcome == "done"


@pytest.mark.parametrize("phase", ["check", "replace", "start:0", "prepare"])
def test_what_fails_before_all_are_ready_undoes_all(restore: Restore, phase: str) -> None:
    restore.agents["db1"].fails = {f"do {phase}"}
    with pytest.raises(PropolisError, match="db1: it broke"):
        restore.run()
    assert restore.told("undo check") == restore.told("close undone") == ALL
    assert ask(restore.vault.host, RUN) is None, "hosts that could be told need no verdict"
    assert restore.outcome == "undone"


def test_a_host_that_lost_touch_and_undid_makes_all_undo(restore: Restore) -> None:
    give(restore.vault.host, RUN, "undo")
    with pytest.raises(PropolisError, match="lost touch has undone the restore"):
        restore.run()
    assert restore.told("undo replace") == restore.told("close undone") == ALL
    assert restore.told("do accept") == []
    assert restore.outcome == "undone"


def test_in_doubt_nobody_is_told_to_undo_and_all_are_asked_once_it_can_be_known(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = restore.vault.folder.with_name("away")
    monkeypatch.setattr(PreparedOnHosts, "do", lambda *_: (restore.vault.folder.rename(away), None)[1])
    with pytest.raises(InDoubt) as caught:
        restore.run()
    assert caught.value.exit_code == 13
    assert not any(" undo " in line or " close " in line for line in restore.log)
    assert restore.outcome is None
    with pytest.raises(InDoubt):
        restore.recover()
    assert restore.told("recover") == []
    away.rename(restore.vault.folder)
    assert restore.recover() == "undone"
    assert ask(restore.vault.host, RUN) == "undo"
    assert restore.told("recover") == ALL
    assert not any(" undo " in line for line in restore.log), "each host asks, and obeys, by itself"


@pytest.mark.parametrize("verdict", ["keep", "undo"])
def test_an_answer_that_was_lost_is_not_taken_for_a_no(
    restore: Restore, monkeypatch: pytest.MonkeyPatch, verdict: Any
) -> None:
    """The coordinator is killed, or its storage fails, right after the verdict was created."""

    def lost(step: GiveVerdict, context: Any, results: Any) -> None:
        give(restore.vault.host, RUN, verdict)
        raise PropolisError("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(GiveVerdict, "do", lost)
        with pytest.raises(PropolisError, match="timed out"):
            restore.run()
    if verdict == "undo":
        assert restore.told("undo replace") == ALL
        assert restore.outcome == "undone"
        return
    assert not any(" undo " in line for line in restore.log)
    assert restore.outcome is None
    assert restore.recover() == "finished"
    assert restore.told("recover") == ALL


def test_behind_the_verdict_a_lost_host_finishes_by_itself(restore: Restore) -> None:
    restore.agents["db2"].vanishes = {"do accept"}
    with pytest.raises(PropolisError, match="db2"):
        restore.run()
    assert ask(restore.vault.host, RUN) == "keep"
    assert not any(" undo " in line for line in restore.log)
    assert restore.outcome is None
    assert restore.recover() == "finished"
    assert restore.told("recover") == ALL
