"""What a host has restored, and says of it, when its part is ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from propolis.command.context import Context
from propolis.command.host_key import why_closed
from propolis.filesystem.unkept import Tally, Unkept
from propolis.restore.prepare import Restoration
from propolis.restore.steps import FillBucket, LayBeside, StageFolder
from propolis.restore.woven.verdict import Prepare
from propolis.run import Results
from propolis.stack.stack import STORES


class HostRestored(msgspec.Struct, frozen=True, kw_only=True):
    """One host's part of a restore: its journal keeps it, and the coordinator reports it."""

    stores: tuple[str, ...]
    files: int
    bytes: int
    downtime: float | None
    """Of TheHive, in seconds; None where it is on another host, or wasn't running."""
    laid_beside: tuple[str, ...]
    passwords_set: tuple[str, ...]
    unkept: tuple[Unkept, ...]
    never_kept: tuple[Unkept, ...]
    warnings: tuple[str, ...]
    closed: str


class PrepareRestored(Prepare, frozen=True, kw_only=True, tag="prepare-restored"):
    """The same, with what was restored."""

    needs = (Restoration,)
    uses = (StageFolder, LayBeside, FillBucket)

    def do(self, context: Context, results: Results) -> HostRestored:
        """Check that the verdict can be asked for; say what was restored."""
        self.require_undecided(context)
        restoration = results.given(Restoration)
        restored = [*results.all(StageFolder), *(filled.written for filled in results.all(FillBucket))]
        targets = (*restoration.in_place, *restoration.beside)
        mine = {tree.name for tree in targets}
        return HostRestored(
            stores=tuple(store for store in STORES if any(tree.store == store for tree in targets)),
            files=sum(result.files for result in restored),
            bytes=sum(result.bytes for result in restored),
            downtime=context.services.downtime,
            laid_beside=tuple(str(restoration.beside_folder(tree)) for tree in restoration.beside),
            passwords_set=tuple(f"{login.service}: {login.name}" for login in restoration.logins.to_set),
            unkept=tuple(
                Tally(kind for result in [*restored, *results.all(LayBeside)] for kind in result.unkept).all()
            ),
            never_kept=tuple(
                Tally(kind for tree in restoration.header.trees if tree.name in mine for kind in tree.unkept).all()
            ),
            warnings=tuple(context.warnings),
            closed=why_closed(context.config),
        )

    def summary(self, result: HostRestored | None) -> Mapping[str, Any] | None:
        """All of it."""
        return None if result is None else msgspec.to_builtins(result)
