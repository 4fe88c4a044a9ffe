"""Every step that the journal of a restore, or of its undo, may name."""

from __future__ import annotations

from typing import Any

from propolis.command.context import Context
from propolis.command.reserve import ReleaseSpace, ReserveSpace
from propolis.command.services import SERVICE_STEPS
from propolis.restore.former.steps import UNDO_STEPS
from propolis.restore.hosts.peers import ForgetPeers
from propolis.restore.hosts.verdict import Prepare
from propolis.restore.steps import (
    AcceptRestore,
    CheckDrained,
    CheckOthers,
    CheckRestore,
    CheckStores,
    FillBucket,
    GivePassword,
    LayBeside,
    LiftWriteBlocks,
    PrepareRestored,
    ReplaceFolders,
    StageFolder,
)
from propolis.run import Step
from propolis.run.step import tag_of

_STEPS: tuple[type[Step[Context, Any]], ...] = (
    CheckRestore,
    StageFolder,
    ForgetPeers,
    LayBeside,
    FillBucket,
    CheckOthers,
    CheckDrained,
    ReplaceFolders,
    GivePassword,
    CheckStores,
    LiftWriteBlocks,
    Prepare,
    PrepareRestored,
    AcceptRestore,
    *UNDO_STEPS,
    ReserveSpace,
    ReleaseSpace,
    *SERVICE_STEPS,
)

RESTORE_STEPS = {tag_of(step): step for step in _STEPS}
"""Those of a stack, or of what of it is on one of several hosts."""
