"""Former data: what a restore replaced is kept for a while, and comes back with `propolis restore --undo`."""

from propolis.restore.former.keeping import DropAside, ForgetKept, KeepOld, KeptReport
from propolis.restore.former.steps import UNDO_STEPS
from propolis.restore.former.undo import UndoReport, UndoRequest, settled, undo, undo_plan

__all__ = [
    "UNDO_STEPS",
    "DropAside",
    "ForgetKept",
    "KeepOld",
    "KeptReport",
    "UndoReport",
    "UndoRequest",
    "settled",
    "undo",
    "undo_plan",
]
