"""What earlier runs left is told, or why it can't be."""

from pathlib import Path

import pytest

from ordinary import ordinary_user, reachable_folder
from propolis.checks import Check, Look, ask, rules_of
from propolis.run.journal import journal_folder
from unit.checks.stacks import config_in, look_at


def leftovers(look: Look) -> list[Check]:
    return ask([rule for rule in rules_of(look) if rule.name == "leftovers"], look)


@pytest.mark.parametrize("closed", ["state", "journal", "journal/run.jsonl", "journal/run.trial"])
def test_journals_that_an_ordinary_user_cannot_read_are_named(closed: str) -> None:
    with reachable_folder() as folder:
        config = config_in(folder)
        journals = journal_folder(config.state)
        journals.mkdir(parents=True)
        (journals / "run.jsonl").touch()
        (journals / "run.trial").touch()
        path = config.state if closed == "state" else config.state / closed
        path.chmod(0)
        look = look_at(config, "doctor")
        with ordinary_user():
            [check] = leftovers(look)
        path.chmod(0o700)
    named = journals if closed == "state" else path
    assert check.result == "fail"
    assert (
        check.message
        == f"Propolis can't tell what earlier runs left behind: {named} can't be read: Permission denied"
    )
    assert check.hint == "Run Propolis as root"


def test_without_a_state_folder_no_run_left_anything(tmp_path: Path) -> None:
    [check] = leftovers(look_at(config_in(tmp_path), "doctor"))
    assert check.result == "ok"


@pytest.mark.parametrize("kind", ["garbage", "a folder"])
def test_a_journal_that_keeps_backups_from_running_fails_the_doctor(kind: str, tmp_path: Path) -> None:
    config = config_in(tmp_path)
    journal = journal_folder(config.state) / "20261127T000000Z-abcdef.jsonl"
    journal.parent.mkdir(parents=True)
    if kind == "garbage":
        journal.write_text("garbage\n")
    else:
        journal.mkdir()
    [check] = leftovers(look_at(config, "doctor"))
    assert check.result == "fail"
    assert check.message.startswith(f"The journal {journal} can't be read")
