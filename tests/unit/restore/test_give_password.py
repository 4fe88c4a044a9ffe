"""From the swap on the backup's logins hold, until this host's password is given or the former data is back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.secrets import Login
from propolis.errors import PreflightError
from propolis.restore.context import RestoreContext
from propolis.restore.logins import LoginAfter
from propolis.restore.steps import GivePassword, ReplaceFolders
from propolis.run import Results, SilentObserver
from propolis.stack.database import roles

HERE, THERE, OWN = ("thehive", "here-secret"), ("thehive", "there-secret"), ("propolis", "own-secret")


@pytest.fixture
def context(tmp_path: Path) -> RestoreContext:
    file = tmp_path / "propolis.yaml"
    file.write_text(sample())
    context = RestoreContext(None, load(file), SilentObserver(), "run")
    context.logins = (LoginAfter("database", "differs", "", HERE, HERE, THERE, True),)
    return context


def test_the_backups_login_is_used_while_its_data_is_there(context: RestoreContext) -> None:
    assert context.services.logins.get("database") is None
    swap = ReplaceFolders(swaps=())
    swap.do(context, Results())
    assert context.services.logins.get("database") == THERE
    assert context.services.logins.get("index") is None
    swap.undo(context)
    assert context.services.logins.get("database") is None, "the former data knows this host's login"


def test_propolis_uses_the_backups_login_where_its_own_is_another_role(context: RestoreContext) -> None:
    context.logins = (LoginAfter("database", "same", "", HERE, OWN, HERE),)
    ReplaceFolders(swaps=()).do(context, Results())
    assert context.services.logins.get("database") == HERE


def test_the_password_is_given_with_the_backups_login_and_holds_from_then_on(
    context: RestoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Login, Login]] = []
    monkeypatch.setattr(roles, "give_role", lambda config, known, wanted: given.append((known, wanted)))
    ReplaceFolders(swaps=()).do(context, Results())
    GivePassword(service="database", name="thehive").do(context, Results())
    assert given == [(THERE, HERE)]
    assert context.services.logins.get("database") == HERE


def test_a_refusal_fails_the_step_and_the_backups_login_stays(
    context: RestoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PreflightError("the role thehive lacks a permission")

    monkeypatch.setattr(roles, "give_role", refuse)
    ReplaceFolders(swaps=()).do(context, Results())
    with pytest.raises(PreflightError):
        GivePassword(service="database", name="thehive").do(context, Results())
    assert context.services.logins.get("database") == THERE


def test_the_journal_learns_no_password() -> None:
    kept = msgspec.json.encode(GivePassword(service="database", name="thehive")).decode()
    assert "thehive" in kept
    assert "secret" not in kept
