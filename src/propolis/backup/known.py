"""Every step that the journal of a backup may name."""

from __future__ import annotations

from typing import Any

from propolis.backup.count import CountDocuments
from propolis.backup.drained import CheckClonedLog
from propolis.backup.manifest import WriteManifest
from propolis.backup.part import FinishPart
from propolis.backup.steps import (
    CheckStack,
    CloneTrees,
    DropClones,
    ListBucket,
    OpenRepository,
    StoreAhead,
    StoreTrees,
)
from propolis.command.context import Context
from propolis.command.reserve import ReleaseSpace, ReserveSpace
from propolis.command.services import SERVICE_STEPS
from propolis.run import Step
from propolis.run.step import tag_of

_STEPS: tuple[type[Step[Context, Any]], ...] = (
    CheckStack,
    OpenRepository,
    CloneTrees,
    CheckClonedLog,
    CountDocuments,
    ListBucket,
    StoreAhead,
    StoreTrees,
    WriteManifest,
    FinishPart,
    DropClones,
    ReserveSpace,
    ReleaseSpace,
    *SERVICE_STEPS,
)

BACKUP_STEPS = {tag_of(step): step for step in _STEPS}
"""Those of a stack, or of what of it is on one of several hosts."""
