"""Only the family of the command that was called is loaded; together the families have every command."""

import importlib
import subprocess
import sys

import pytest
import typer

from propolis.cli import FAMILIES, application


def commands(app: typer.Typer) -> set[str]:
    group = typer.main.get_group(app)
    return set(group.list_commands(typer.Context(group)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_the_commands_it_is_known_for(family: str) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    importlib.import_module(f"propolis.cli.{family}").register(app)
    assert commands(app) == set(FAMILIES[family])


@pytest.mark.parametrize("given", [None, "--quiet", "bakcup"])
def test_the_whole_command_line_is_there_when_no_command_is_named(given: str | None) -> None:
    assert commands(application(given)) == {command for family in FAMILIES.values() for command in family}


@pytest.mark.parametrize(
    ("arguments", "spared"),
    [
        (["backup", "-h"], "propolis.cli.repository.care"),
        (["backup", "-h"], "propolis.restore.steps"),
        (["list", "-h"], "propolis.backup.steps"),
        (["--version"], "propolis.config.schema"),
    ],
)
def test_a_command_starts_without_what_it_does_not_need(arguments: list[str], spared: str) -> None:
    code = f"import sys; from propolis.cli import run; run({arguments}); print({spared!r} in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.splitlines()[-1] == "False"
