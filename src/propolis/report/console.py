"""What all results for a person share: where they are printed, errors, plans, pairs and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from propolis.errors import PropolisError
from propolis.filesystem.unkept import Unkept
from propolis.run import Plan

if TYPE_CHECKING:  # loaded by what prints, when it does
    from rich.console import Console
    from rich.table import Table
NOT_BACKED_UP = "not in the backup"
NOT_RESTORED = "in the backup, not restored"


def console(*, stderr: bool = False, soft_wrap: bool = True, width: int | None = None) -> Console:
    """Standard output, or standard error; lines aren't wrapped unless they are to be."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap, width=width)


def escape(text: str) -> str:
    """The text with nothing in it taken for markup."""
    from rich.markup import escape

    return escape(text)


def show_error(error: PropolisError) -> None:
    """One clear message on standard error."""
    console(stderr=True).print(f"[red]propolis:[/] {escape(str(error))}")


def show_warning(text: str) -> None:
    """Something to know that stops nothing, on standard error."""
    console(stderr=True).print(f"[yellow]warning:[/] {escape(text)}")


def show_plan(plan: Plan[Any], hosts: Sequence[str] = ()) -> None:
    """The steps that a command would take, on several hosts if they are named."""
    out = console()
    where = f" on {len(hosts)} hosts" if hosts else ""
    out.print(f"{plan.command}: {len(plan.steps)} steps{where}. Nothing was changed.")
    for number, step in enumerate(plan.steps, 1):
        commit = (
            "   <- once this is done, an interrupted run is completed instead of undone"
            if number - 1 == plan.commit
            else ""
        )
        out.print(escape(f"{number:>3}. {step.title}{commit}"))


def show_warnings(warnings: Iterable[str]) -> None:
    """One line a warning."""
    out = console()
    for warning in warnings:
        out.print(f"[yellow]warning:[/] {escape(warning)}")


def show_pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    out = console()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        out.print(f"  {escape(name):<{width}}  {escape(value)}")


def show_unkept(heading: str, kinds: Sequence[Unkept]) -> None:
    """One line a kind: how many, what, and some of them by name."""
    out = console()
    for kind in kinds:
        out.print(f"[yellow]{heading}:[/] {escape(str(kind))}")


def table_of() -> Table:
    """A table without lines."""
    from rich.table import Table

    return Table(box=None, pad_edge=False)


def wide_console() -> Console:
    """Standard output, wide enough for a table where it is no terminal."""
    out = console(soft_wrap=False)
    return out if out.is_terminal else console(soft_wrap=False, width=200)
