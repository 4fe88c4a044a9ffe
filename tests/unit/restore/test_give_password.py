"""From the swap on the backup's logins hold, until this host's password is given or the former data is back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from propolis.command.context import Context
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.secrets import Login
from propolis.errors import PreflightError
from propolis.restore.logins import LoginAfter, Logins
from propolis.restore.steps import GivePassword, ReplaceFolders
from propolis.run import Results, SilentObserver
from propolis.stack.database import roles

HERE, THERE, OWN = ("thehive", "here-secret"), ("thehive", "there-secret"), ("propolis", "own-secret")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    file = tmp_path / "propolis.yaml"
    file.write_text(sample())
    return Context(load(file), SilentObserver(), "run")


@pytest.fixture
def results() -> Results:
    return Results([Logins((LoginAfter("database", "differs", "", HERE, HERE, THERE, True),))])


def test_the_backups_login_is_used_while_its_data_is_there(context: Context, results: Results) -> None:
    assert context.services.logins.get("database") is None
    swap = ReplaceFolders(swaps=())
    swap.do(context, results)
    assert context.services.logins.get("database") == THERE
    assert context.services.logins.get("index") is None
    swap.undo(context)
    assert context.services.logins.get("database") is None, "the former data knows this host's login"


def test_propolis_uses_the_backups_login_where_its_own_is_another_role(context: Context) -> None:
    results = Results([Logins((LoginAfter("database", "same", "", HERE, OWN, HERE),))])
    ReplaceFolders(swaps=()).do(context, results)
    assert context.services.logins.get("database") == HERE


def test_the_password_is_given_with_the_backups_login_and_holds_from_then_on(
    context: Context, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Login, Login]] = []
    monkeypatch.setattr(roles, "give_role", lambda config, known, wanted: given.append((known, wanted)))
    ReplaceFolders(swaps=()).do(context, results)
    GivePassword(service="database", name="thehive").do(context, results)
    assert given == [(THERE, HERE)]
    assert context.services.logins.get("database") == HERE


def test_a_refusal_fails_the_step_and_the_backups_login_stays(
    context: Context, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PreflightError("the role thehive lacks a permission")

    monkeypatch.setattr(roles, "give_role", refuse)
    ReplaceFolders(swaps=()).do(context, results)
    with pytest.raises(PreflightError):
        GivePassword(service="database", name="thehive").do(context, results)
    assert context.services.logins.get("database") == THERE


def test_the_journal_learns_no_password() -> None:
    kept = msgspec.json.encode(GivePassword(service="database", name="thehive")).decode()
    assert "thehive" in kept
    assert "secret" not in kept
