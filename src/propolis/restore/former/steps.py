"""The steps of `propolis restore --undo`, besides those that every command has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from propolis.checks import Look, ask, refuse, rules_of, told
from propolis.checks.look import Target, Wanted
from propolis.checks.targets import drop_trials
from propolis.command.context import Context
from propolis.command.kept import Kept, KeptObjects, find, lacking
from propolis.command.promise import promise
from propolis.config.schema import Config
from propolis.errors import PreflightError
from propolis.restore.bucket.objects import put_back, require_kept, take_back
from propolis.restore.former.keeping import DropAside, ForgetKept, KeepOld
from propolis.restore.hosts.verdict import require_verdict
from propolis.restore.swap import Swap, swap_back, swap_in
from propolis.run import Results, Step
from propolis.stack.stack import trees

UNTOUCHED = "Nothing was changed"


class CheckUndo(Step[Context, Mapping[str, Any]], frozen=True, kw_only=True, tag="check-undo"):
    """Checks, before anything is touched, that all which the run replaced is there and can be moved back."""

    turn = "check"

    tries_only = True

    run: str
    running: tuple[str, ...]
    trials: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)
    """Where, by folder, it is tried whether it can be replaced: beside it, and in it."""

    def _title(self) -> str:
        return f"check the data that run {self.run} replaced, folders and free space"

    def do(self, context: Context, results: Results) -> Mapping[str, Any]:
        """Raise PreflightError naming all that speaks against it."""
        kept = find(context.config.state, self.run)
        require_undoable(context.config, kept)
        for objects in kept.objects:
            require_kept(context, objects)
        look = Look(
            context.config,
            "restore",
            running=self.running,
            wait=lambda service: None,
            # Moving takes no room, but services need some to start in.
            incoming=[Wanted(Path(one.target), 0, 0) for one in kept.folders],
            targets=self._targets(),
        )
        found = ask(rules_of(look), look)
        refuse(found, "restore", UNTOUCHED, f"Run {kept.run} can't be undone")
        for warning in (check for check in found if check.result == "warn"):
            context.warn(". ".join(part for part in (told(warning), warning.hint) if part))
        return {"run": kept.run, "files": kept.files, "bytes": kept.bytes}

    def summary(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run that is undone, and how much it kept."""
        return result

    def undo(self, context: Context) -> None:
        """Drop what was tried."""
        for target in self._targets():
            drop_trials(target)

    def _targets(self) -> list[Target]:
        return [Target(Path(folder), Path(beside), Path(inside)) for folder, (beside, inside) in self.trials.items()]


class PutBackFolders(Step[Context, None], frozen=True, kw_only=True, tag="put-back-folders"):
    """Moves the present data aside and the former data, which an earlier run replaced, in."""

    turn = "replace"

    swaps: tuple[Swap, ...]
    down: tuple[str, ...]
    """Services that must not run meanwhile."""

    def _title(self) -> str:
        return f"move the content of {len(self.swaps)} folders aside and the former content back in"

    def promise(self, context: Context) -> Mapping[str, Any]:
        """Nobody may start services on folders that are half replaced without undoing that first."""
        return promise(context.config, (), because="the undo was replacing the services' folders")

    def do(self, context: Context, results: Results) -> None:
        """Swap them one by one. Raises PreflightError if a service was started in the meantime."""
        context.services.require_down(self.down)
        for swap in self.swaps:
            swap_in(swap)

    def undo(self, context: Context) -> None:
        """Bring back what was in place before the undo."""
        for swap in reversed(self.swaps):
            swap_back(swap)


class PutBackObjects(Step[Context, Mapping[str, Any]], frozen=True, kw_only=True, tag="put-back-objects"):
    """Takes back what an earlier run changed in a bucket."""

    turn = "objects"

    kept: KeptObjects

    def _title(self) -> str:
        return (
            f"put {self.kept.objects} former objects back into the bucket of {self.kept.tree} and remove those "
            "that were added"
        )

    def do(self, context: Context, results: Results) -> Mapping[str, Any]:
        """Do it, having noted durably which objects change."""
        return put_back(context, self.kept)

    def summary(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """What was done, in numbers."""
        return result

    def undo(self, context: Context) -> None:
        """Bring back what was there before the undo."""
        take_back(context, self.kept.tree)


class AcceptFormer(Step[Context, None], frozen=True, kw_only=True, tag="accept-former"):
    """Every service answers on the former data: from here on it is the stack's again."""

    turn = "accept"

    services: tuple[str, ...]
    by_verdict: bool = False
    """Only if all hosts of the undo keep it."""

    commits = True

    def _title(self) -> str:
        return "accept the former data (from here on it is kept)"

    def promise(self, context: Context) -> Mapping[str, Any]:
        """The services run on whole data again, and are to."""
        return promise(context.config, self.services)

    def do(self, context: Context, results: Results) -> None:
        """Nothing, the journal now holds it. With others, raise PropolisError unless all of them keep it."""
        if self.by_verdict:
            require_verdict(context)


def require_undoable(config: Config, kept: Kept) -> None:
    """Raise PreflightError unless what is kept of a run is whole, fits the stack, and nothing came after it."""
    wrong: list[str] = []
    if kept.dropping:
        wrong.append("its removal has begun")
    if kept.overtaken:
        wrong.append(
            f"run {kept.overtaken} has replaced other stores since, so the stores would no longer fit together"
        )
    wrong += lacking(kept)
    known = {tree.target for tree in trees(config)}
    if config.cassandra is not None:
        known.add(str(config.cassandra.saved_caches))
    if strange := sorted(kept.targets - known):
        wrong.append(f"propolis.yaml no longer names {', '.join(strange)}")
    if wrong:
        raise PreflightError(
            f"What run {kept.run} replaced can't be put back: {'; '.join(wrong)}",
            left=UNTOUCHED,
            next="Fix that, or restore a backup instead",
        )


UNDO_STEPS: tuple[type[Step[Context, Any]], ...] = (
    CheckUndo,
    PutBackFolders,
    PutBackObjects,
    AcceptFormer,
    KeepOld,
    DropAside,
    ForgetKept,
)
