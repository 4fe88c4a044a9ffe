"""The layout of the code: small rooms, small modules, no circles, and nothing that hides one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

SOURCE = Path(__file__).parents[2] / "src"
OURS = ("propolis", "propolis_lab")
MODULES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 400
MOST_MODULES = 14
SAY_NOTHING = {"What it does.", "What it is.", "Does it.", "Do it.", "All of it.", "See above.", "As it says."}
"""Docstrings that tell a reader nothing which the name doesn't."""


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def parsed() -> Iterator[tuple[str, ast.Module]]:
    for path in MODULES:
        yield name(path), ast.parse(path.read_text())


def is_ours(module: str | None) -> bool:
    return (module or "").split(".")[0] in OURS


def imported(node: ast.AST) -> list[str]:
    """The modules that are imported anywhere within."""
    found: list[str] = []
    for part in ast.walk(node):
        if isinstance(part, ast.ImportFrom):
            found.append("propolis" if part.level else part.module or "")
        elif isinstance(part, ast.Import):
            found += [alias.name for alias in part.names]
    return found


def test_there_is_code_to_look_at() -> None:
    assert len(MODULES) > 100


def test_no_module_is_long() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {found: count for found, count in lines.items() if count > MOST_LINES} == {}


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in MODULES}
    counts = {name(folder): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_nothing_of_ours_is_imported_for_types_alone() -> None:
    """That would be an import that isn't there when the program runs: a circle that works by chance."""
    guarded = {
        f"{found}:{node.lineno}"
        for found, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and "TYPE_CHECKING" in ast.unparse(node.test)
        and any(map(is_ours, imported(node)))
    }
    assert guarded == set()


def test_no_module_needs_itself_by_way_of_others() -> None:
    """Imports within functions count: whoever makes one to cut a circle only hides it."""
    graph = grimp.build_graph(*OURS, include_external_packages=False)
    for circle in circles({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}):
        pytest.fail(f"a circle of imports: {', '.join(sorted(circle))}")


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected modules, by Tarjan's algorithm, without recursion."""
    found: list[set[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    for start in imports:
        if start in number:
            continue
        work = [(start, iter(sorted(imports[start])))]
        number[start] = lowest[start] = len(number)
        path.append(start)
        while work:
            module, rest = work[-1]
            for other in rest:
                if other not in number:
                    number[other] = lowest[other] = len(number)
                    path.append(other)
                    work.append((other, iter(sorted(imports[other]))))
                    break
                if other in path:
                    lowest[module] = min(lowest[module], number[other])
            else:
                work.pop()
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[module])
                if lowest[module] == number[module]:
                    cut = path.index(module)
                    if len(path) - cut > 1:
                        found.append(set(path[cut:]))
                    del path[cut:]
    return found


def test_circles_are_found() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"f"}, "f": {"a", "e"}, "g": {"a"}}
    assert sorted(map(sorted, circles(imports))) == [["b", "c"], ["e", "f"]]


def test_no_docstring_is_there_for_the_sake_of_having_one() -> None:
    empty = {
        f"{found}: {node.name}"
        for found, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and ast.get_docstring(node) in SAY_NOTHING
    }
    assert empty == set()


def test_a_storage_is_asked_what_it_can_and_not_what_it_is() -> None:
    asked = {
        f"{found}:{node.lineno}"
        for found, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("isinstance", "issubclass", "type")
        and any(
            isinstance(part, ast.Name | ast.Attribute) and _last(part).endswith("Storage") for part in _kinds(node)
        )
    }
    assert asked == set()


def _kinds(call: ast.Call) -> Iterator[ast.AST]:
    for argument in call.args[1:]:
        yield from ast.walk(argument)


def _last(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr
