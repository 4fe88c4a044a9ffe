"""Who is asked before a restore: a person on a terminal; scripts say in advance that they mean it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import pytest

from propolis import cli
from propolis.cli import restores
from propolis.config.sample import sample
from propolis.errors import PropolisError
from propolis.restore import RestoreRequest


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[RestoreRequest]:
    """What restores were asked for, in the end."""
    seen: list[RestoreRequest] = []

    def run(request: RestoreRequest, *_: object) -> NoReturn:
        seen.append(request)
        raise PropolisError("far enough")

    monkeypatch.setattr(restores, "run_restore", run)
    return seen


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RestoreRequest]:
    """Those of which a person was asked."""
    seen: list[RestoreRequest] = []

    def agree(request: RestoreRequest) -> RestoreRequest:
        seen.append(request)
        return request

    monkeypatch.setattr(restores, "_agreed", agree)
    return seen


def restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, *arguments: str) -> int:
    file = tmp_path / "propolis.yaml"
    if not file.exists():
        file.write_text(sample())
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
    return cli.run(["restore", "latest", "--config", str(file), *arguments])


@pytest.mark.parametrize(("terminal", "arguments", "is_asked"), [(True, (), True), (True, ("--yes",), False)])
def test_a_person_is_asked_on_a_terminal_unless_they_said_yes(
    requests: list[RestoreRequest],
    asked: list[RestoreRequest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    arguments: tuple[str, ...],
    is_asked: bool,
) -> None:
    assert restore(tmp_path, monkeypatch, terminal, *arguments) == 1
    assert len(requests) == 1
    assert bool(asked) == is_asked
    assert not requests[0].set_password


@pytest.mark.parametrize(
    ("terminal", "arguments", "why"),
    [
        (False, (), "there is no terminal to ask on"),
        (False, ("--json",), "with --quiet or --json nobody is asked"),
        (True, ("--quiet",), "with --quiet or --json nobody is asked"),
        (True, ("--json",), "with --quiet or --json nobody is asked"),
    ],
)
def test_where_nobody_can_be_asked_it_refuses_before_it_opens_anything(
    requests: list[RestoreRequest],
    asked: list[RestoreRequest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    arguments: tuple[str, ...],
    why: str,
) -> None:
    monkeypatch.setattr(restores, "config_of", None)  # not even the configuration is read
    assert restore(tmp_path, monkeypatch, terminal, *arguments) == 2
    told = capsys.readouterr().err
    assert why in told
    assert "add --yes" in told
    assert len(told.splitlines()) == 1
    assert not requests
    assert not asked


def test_a_script_says_so_in_advance(
    requests: list[RestoreRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert restore(tmp_path, monkeypatch, False, "--yes", "--set-password") == 1
    assert requests[0].set_password
