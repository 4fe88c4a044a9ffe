"""What a backup or a restore could not keep, for a person."""

from __future__ import annotations

from collections.abc import Sequence

from propolis.filesystem.unkept import Unkept
from propolis.report.console import console, escape

NOT_BACKED_UP = "not in the backup"
NOT_RESTORED = "in the backup, not restored"


def show_unkept(heading: str, kinds: Sequence[Unkept]) -> None:
    """One line a kind: how many, what, and some of them by name."""
    out = console()
    for kind in kinds:
        out.print(f"[yellow]{heading}:[/] {escape(str(kind))}")
