"""All that people read, each piece with where it stands: the texts in the code, help, documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
CODE = ROOT / "src/propolis"
DOCUMENTS = (
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "bench/README.md",
    ROOT / "src/propolis_lab/standin/README.md",
)
_CODE = re.compile(r"^```.*?^```|^ {4,}\S[^\n]*$", re.M | re.S)
VALUE = "…"
"""What stands for a value that a text takes in."""


def help_texts(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """All that `--help` says of a command and of those below it."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    for below, found in getattr(command, "commands", {}).items():
        yield from help_texts(found, f"{name} {below}")


def code_texts(folder: Path = CODE) -> Iterator[tuple[str, str]]:
    """Every text of several words in the code; docstrings and comments are for its readers, not for these."""
    for file in sorted(folder.rglob("*.py")):
        tree = ast.parse(file.read_text())
        silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        silent |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            text = _text(node)
            if id(node) not in silent and text is not None and " " in text.strip():
                yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", text


def step_titles(folder: Path = CODE) -> Iterator[tuple[str, str]]:
    """The titles of all steps, as far as they are written where they are returned."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "_title":
                for found in ast.walk(node):
                    if isinstance(found, ast.Return) and (text := _text(found.value)) is not None:
                        yield f"{file.relative_to(ROOT)}:{found.lineno}", text


def document_texts() -> Iterator[tuple[str, str]]:
    """The documents, paragraph by paragraph, without what is code."""
    for file in DOCUMENTS:
        prose = _CODE.sub(lambda found: "\n" * found[0].count("\n"), file.read_text())
        line = 1
        for paragraph in re.split(r"(\n\s*\n)", prose):
            yield f"{file.relative_to(ROOT)}:{line}", re.sub(r"`[^`]*`", VALUE, paragraph)
            line += paragraph.count("\n")


def _text(node: Any) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)
    return None
