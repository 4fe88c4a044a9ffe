"""The end of a restore: what it replaced is dropped, or kept for some days under a record."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propolis.command.context import Context
from propolis.command.kept import (
    Kept,
    KeptFolder,
    drop_objects,
    forget,
    occupied,
    overtake,
    record,
    records,
)
from propolis.command.stores import bucket_of
from propolis.errors import PropolisError
from propolis.restore.bucket.objects import forget_added, kept_objects
from propolis.restore.swap import Swap, drop_aside, drop_staged
from propolis.run import Results, Step


@dataclass(frozen=True)
class KeptReport:
    """What a run keeps of what it replaced, and until when (UTC)."""

    files: int
    bytes: int
    until: str


class DropAside(Step[Context, None], frozen=True, kw_only=True, tag="drop-aside"):
    """Removes what was moved aside: the restore has passed its checks."""

    turn = "drop"

    swaps: tuple[Swap, ...]
    buckets: tuple[str, ...]

    def _title(self) -> str:
        return "delete what was moved aside"

    def do(self, context: Context, results: Results) -> None:
        """Drop it."""
        overtake(context.config.state, context.run_id, _targets(self.swaps, self.buckets))
        for swap in self.swaps:
            drop_aside(swap)
        for tree in self.buckets:
            forget_added(context, tree)


class KeepOld(Step[Context, KeptReport], frozen=True, kw_only=True, tag="keep-old"):
    """Keeps what was moved aside: it stays where it is, with a record that names it and says until when."""

    turn = "drop"

    swaps: tuple[Swap, ...]
    buckets: tuple[str, ...]
    days: int
    command: str
    backup: str
    """What replaced it: the backup's ID, or the run that was undone."""
    without: tuple[str, ...] = ()
    """Optional sections whose services were left alone."""

    def _title(self) -> str:
        return f"keep what was moved aside for {self.days} {'day' if self.days == 1 else 'days'}"

    def do(self, context: Context, results: Results) -> KeptReport:
        """Write the record, unless it is there already; drop the emptied staging folders."""
        state = context.config.state
        for swap in self.swaps:
            drop_staged(swap)
        overtake(state, context.run_id, _targets(self.swaps, self.buckets))
        kept = next((one for one in records(state).kept if one.run == context.run_id), None)
        if kept is None:
            kept = self._kept(context)
            record(state, kept)
        return KeptReport(kept.files, kept.bytes, kept.until)

    def summary(self, result: KeptReport) -> Mapping[str, Any]:
        """How much it is, and until when."""
        return {"files": result.files, "bytes": result.bytes, "until": result.until}

    def _kept(self, context: Context) -> Kept:
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        objects = (kept_objects(context, tree) for tree in self.buckets)
        return Kept(
            run=context.run_id,
            command=self.command,
            backup=self.backup,
            at=now.isoformat(),
            until=(now + datetime.timedelta(days=self.days)).isoformat(),
            days=self.days,
            without=self.without,
            folders=tuple(_kept_folder(swap) for swap in self.swaps),
            objects=tuple(one for one in objects if one is not None),
        )


class ForgetKept(Step[Context, None], frozen=True, kw_only=True, tag="forget-kept"):
    """Removes the record of a run that was undone: what it kept is in its place again."""

    turn = "forget"

    run: str

    def _title(self) -> str:
        return f"forget the run {self.run}, which is undone"

    def do(self, context: Context, results: Results) -> None:
        """Remove the emptied folders, what the bucket held aside, then the record. Only what is empty goes."""
        state = context.config.state
        for kept in records(state).kept:
            if kept.run != self.run:
                continue
            for one in kept.folders:
                folder = Path(one.folder)
                (folder / one.marker).unlink(missing_ok=True)
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    context.warn(f"{folder} was not deleted: {error.strerror}")
            for objects in kept.objects:
                drop_objects(bucket_of(kept.stack(context.config), objects.tree), Path(objects.note))
            forget(state, self.run)


def _kept_folder(swap: Swap) -> KeptFolder:
    aside = Path(swap.aside)
    try:
        found = occupied(aside, leave_out=swap.marker)
    except OSError as error:
        raise PropolisError(
            f"What is kept in {aside} can't be counted: {error.strerror} ({error.filename})",
            left="The restored data is in place; the former data is still there",
            next="Fix the cause, then run `propolis recover`",
        ) from error
    return KeptFolder(swap.target, swap.aside, swap.marker, swap.former, found.files, found.bytes)


def _targets(swaps: tuple[Swap, ...], buckets: tuple[str, ...]) -> frozenset[str]:
    return frozenset({*(swap.target for swap in swaps), *buckets})
