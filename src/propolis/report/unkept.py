"""What a backup or a restore could not keep, for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from propolis.filesystem.unkept import Unkept

NOT_BACKED_UP = "not in the backup"
NOT_RESTORED = "in the backup, not restored"


def show_unkept(out: Console, heading: str, kinds: Sequence[Unkept]) -> None:
    """One line a kind: how many, what, and some of them by name."""
    from rich.markup import escape

    for kind in kinds:
        out.print(f"[yellow]{heading}:[/] {escape(str(kind))}")
