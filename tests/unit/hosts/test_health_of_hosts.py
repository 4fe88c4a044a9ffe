"""doctor, status and recover on a coordinator speak of every host, and name those that can't be asked."""

import json
import sys
from pathlib import Path

import pytest

from propolis.checks import look
from propolis.config.schema import Config
from propolis.run.journal import Journal, journal_folder
from unit.config.stack_files import lay
from unit.hosts.spread import AGENT, Stack, as_json


@pytest.fixture
def stack(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr(look, "PATIENCE", 0.01)
    return Stack(tmp_path, capsys)


def half_done(config: Config, state: Path, *, prepared: bool = False) -> None:
    """A run that was killed before its first step, or once it was prepared."""
    steps = [{"type": "check"}, {"type": "accept"}] if prepared else []
    facts = {"config": config.model_dump(mode="json")}
    journal = Journal.create(
        journal_folder(state),
        run_id="r1",
        command="restore",
        steps=steps,
        commit=1 if prepared else None,
        facts=facts,
        prepare=0 if prepared else None,
    )
    if prepared:
        journal.before(0)
        journal.after(0, {})
    journal.leave_open()


def test_the_state_of_every_host_is_shown(stack: Stack) -> None:
    db2 = stack.attach_db2()
    half_done(db2, db2.state, prepared=True)
    half_done(db2, stack.file.parent / "state/coordinator")
    status = as_json(stack.call("status", "--json"))
    assert set(status["hosts"]) == {"db2"}
    assert set(status["hosts"]["db2"]["services"]) == {"database", "index"}
    (run,) = status["hosts"]["db2"]["half_done"]
    assert (run["command"], run["is_prepared"]) == ("restore", True)
    assert [run["run_id"] for run in status["coordinated"]] == ["r1"]
    assert status["half_done"] == []
    shown = stack.call("status")
    assert "unfinished on several hosts: restore of" in shown
    assert "in doubt: whether it is kept or undone is decided for all hosts together" in shown
    assert shown.index("thehive ") < shown.index("db2\n") < shown.index("repository\n")


def test_a_host_that_can_not_be_asked_is_named_by_status_doctor_and_recover(stack: Stack) -> None:
    stack.attach_db2()
    stack.attach("db3", ("sh", "-c", "echo 'Connection refused' >&2; exit 255"))
    text = stack.call("status", "--json", code=3)
    assert "The state of db3 is not known" in text
    assert "Connection refused" in as_json(text)["hosts"]["db3"]["error"]
    assert as_json(text)["hosts"]["db2"]["error"] == ""
    text = stack.call("doctor", "--json", code=12)
    assert "The host db3 can't be reached" in text.splitlines()[-1]
    found = as_json(text)
    assert [check["name"] for check in found["hosts"]["db3"]] == ["link"]
    assert any("not compared with db3" in check["message"] for check in found["checks"])
    text = stack.call("recover", "--json", code=16)
    assert "db3: It is not known whether its services run" in text
    assert as_json(text)["hosts"]["db2"] == {"recovered": [], "error": "", "exit_code": 0}


def test_the_doctor_compares_what_hosts_say_as_a_backup_does(stack: Stack, tmp_path: Path) -> None:
    stack.attach_db2()
    found = as_json(stack.call("doctor", "--json", code=12))
    assert {"checks", "hosts"} == set(found)
    (together,) = [check for check in found["checks"] if check["name"] == "hosts of the stack"]
    assert together["result"] == "ok"
    assert found["hosts"]["db2"][0]["name"] == "link"
    hive2 = lay(tmp_path / "hive2") / "etc/propolis/propolis.yaml"
    hive2.parent.mkdir()
    hive2.write_text(stack.file.read_text().replace("host: hive", "host: hive2"))
    stack.attach("hive2", (sys.executable, str(AGENT), str(hive2)))
    said = stack.call("doctor", code=12)
    assert "TheHive is on more than one host (hive, hive2)" in said
    assert "more than one host would back up the attachments" in said


def test_recovery_goes_on_all_hosts_and_tells_of_each(stack: Stack) -> None:
    db2 = stack.attach_db2()
    half_done(db2, db2.state)
    shown = stack.call("recover")
    assert "db2: restore of" in shown
    assert "hive: there are no unfinished runs" in shown
    assert as_json(stack.call("recover", "--json"))["hosts"] == {
        name: {"recovered": [], "error": "", "exit_code": 0} for name in ("hive", "db2")
    }


def test_a_stack_on_one_host_says_what_it_always_said(stack: Stack) -> None:
    assert json.loads(stack.call("recover", "--json")) == []
    assert as_json(stack.call("status", "--json"))["hosts"] == {}
