"""What the package of the repository gives is loaded when it is asked for, and is what type checkers are told."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import propolis.repository


def told() -> dict[str, str]:
    text = Path(propolis.repository.__file__).with_suffix(".pyi").read_text()
    return {
        name.name: node.module
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }


def test_type_checkers_are_told_what_is_there() -> None:
    assert sorted(told()) == sorted(propolis.repository.__all__)
    for name, module in told().items():
        assert getattr(propolis.repository, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = propolis.repository.Nothing  # type: ignore[attr-defined]


def test_who_serves_a_repository_loads_nothing_that_reads_one() -> None:
    code = (
        "import sys; from propolis.cli import run; run(['repository', 'serve', '-h']); "
        "print([name for name in ('propolis.repository.repository', 'propolis.config') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
