"""What one of several hosts contributes to a backup, sealed as a part; the coordinator makes a manifest of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from propolis.backup.count import CountDocuments
from propolis.backup.manifest import facts_of
from propolis.backup.steps import CheckStack, CloneTrees, OpenRepository, StoreTrees
from propolis.command.context import Context
from propolis.run import Results, Step


class PartReport(msgspec.Struct, frozen=True):
    """What a host says of its finished part: its journal keeps it, and the coordinator reports it."""

    part: str
    """Its name in the repository."""
    downtime: float | None
    """Of TheHive; None where it is on another host, or wasn't running."""
    outage: float | None
    """From the first stop of a service of this host until the last one answered again."""
    cloned_files: int
    bytes_copied: int
    """While services were down."""
    files: int
    bytes: int
    unchanged: int
    read: int
    new: int
    stored: int
    packs: int
    reread: bool
    altered: int
    altered_named: tuple[str, ...] = ()


class FinishPart(Step[Context, PartReport], frozen=True, kw_only=True, tag="finish-part"):
    """Seals what this host contributes. The backup exists once the coordinator has written its manifest."""

    turn = "seal"

    needs = (CheckStack, OpenRepository, CloneTrees)
    uses = (CountDocuments, StoreTrees)

    def _title(self) -> str:
        return "record this host's part of the backup"

    def do(self, context: Context, results: Results) -> PartReport:
        """Seal it. Nothing has to be undone: a part that no manifest is made of goes with a prune."""
        writer, clones = results[OpenRepository].writer, results[CloneTrees].reports.values()
        name = writer.finish_part(context.run_id, context.config.host or "", facts_of(context, results))
        return PartReport(
            part=name,
            downtime=context.services.downtime,
            outage=context.services.outage,
            cloned_files=sum(report.files for report in clones),
            bytes_copied=sum(report.bytes_copied for report in clones),
            files=writer.stats.files,
            bytes=writer.stats.bytes,
            unchanged=writer.stats.unchanged,
            read=writer.stats.read,
            new=writer.stats.new,
            stored=writer.stats.stored,
            packs=writer.stats.packs,
            reread=writer.reread,
            altered=writer.altered.count,
            altered_named=tuple(writer.altered.named),
        )

    def summary(self, result: PartReport) -> Mapping[str, Any]:
        """The journal keeps everything that is reported."""
        return msgspec.to_builtins(result)  # type: ignore[no-any-return]
