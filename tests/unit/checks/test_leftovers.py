"""What earlier runs left is told, or why it can't be."""

from pathlib import Path

import pytest

from ordinary import ordinary_user, reachable_folder
from propolis.checks import RULES, ask
from propolis.run.journal import journal_folder
from unit.checks.stacks import config_in, look_at

LEFTOVERS = [rule for rule in RULES if rule.name == "leftovers"]


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
            [check] = ask(LEFTOVERS, look)
        path.chmod(0o700)
    named = journals if closed == "state" else path
    assert check.result == "fail"
    assert check.message == f"What earlier runs left can't be told: {named} can't be read: Permission denied"
    assert check.hint == "Run Propolis as root"


def test_without_a_state_folder_no_run_left_anything(tmp_path: Path) -> None:
    [check] = ask(LEFTOVERS, look_at(config_in(tmp_path), "doctor"))
    assert check.result == "ok"
