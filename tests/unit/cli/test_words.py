"""Help, exit codes and settings are told in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from propolis.cli import EPILOG, application
from propolis.config.sample import json_schema

RIDDLES = re.compile(
    r"so (much|many)\b|, as (\d|/|http|id_)|, by comma|touch nothing|touches nothing|no longer$|"
    r"one key less|one more key|closed to it|\b[Mm]end|[Bb](ring|rought|rings) back|put(s|ting)? right|h[eo]ld back|"
    r"for care",
    re.M,
)


def texts(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """All that `--help` says of a command and of those below it."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    for below, found in getattr(command, "commands", {}).items():
        yield from texts(found, f"{name} {below}")


def test_help_is_plain() -> None:
    told = list(texts(typer.main.get_group(application()), "propolis"))
    assert len(told) > 100
    assert [(where, text) for where, text in told if RIDDLES.search(text)] == []


@pytest.mark.parametrize("text", [EPILOG, json_schema()], ids=["exit codes", "settings"])
def test_exit_codes_and_settings_are_plain(text: str) -> None:
    assert RIDDLES.search(text) is None
