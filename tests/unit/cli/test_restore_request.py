"""Whether a restore asks a person about passwords: on a terminal, and never in a script."""

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
    seen: list[RestoreRequest] = []

    def run(request: RestoreRequest, *_: object) -> NoReturn:
        seen.append(request)
        raise PropolisError("far enough")

    monkeypatch.setattr(restores, "run_restore", run)
    return seen


def ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, *arguments: str) -> None:
    file = tmp_path / "propolis.yaml"
    if not file.exists():
        file.write_text(sample())
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
    assert cli.run(["restore", "latest", "--config", str(file), *arguments]) == 1


@pytest.mark.parametrize(
    ("terminal", "arguments", "asks"),
    [
        (True, (), True),
        (False, (), False),
        (True, ("--quiet",), False),
        (True, ("--json",), False),
    ],
)
def test_a_person_is_asked_on_a_terminal_only(
    requests: list[RestoreRequest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    arguments: tuple[str, ...],
    asks: bool,
) -> None:
    ask_for(tmp_path, monkeypatch, terminal, *arguments)
    assert (requests[0].ask is not None) == asks
    assert not requests[0].set_password


def test_a_script_says_so_in_advance(
    requests: list[RestoreRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for(tmp_path, monkeypatch, False, "--set-password")
    assert requests[0].set_password
