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


def test_a_backup_loads_nothing_of_repairs() -> None:
    load = "import sys; from propolis.cli import run; run(['backup', '-h'])"
    code = f"{load}; print('propolis.cli.repository.care' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.splitlines()[-1] == "False"
