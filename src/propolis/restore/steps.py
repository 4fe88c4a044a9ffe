"""The steps of a restore."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from propolis import clone
from propolis.checks.look import Target
from propolis.checks.targets import drop_trials
from propolis.command.context import Context
from propolis.command.host_key import why_closed
from propolis.command.promise import promise
from propolis.errors import IntegrityError
from propolis.filesystem.unkept import Tally, Unkept
from propolis.repository import RestoreResult, restore_folder
from propolis.restore.bucket.objects import Filled, add_missing, require_bucket, take_back
from propolis.restore.hosts.verdict import Prepare, require_verdict
from propolis.restore.indices import check_indices, let_write
from propolis.restore.logins import Logins
from propolis.restore.owners import owner_map
from propolis.restore.preflight import check, check_drained, check_others_again
from propolis.restore.prepare import Restoration
from propolis.restore.swap import Swap, swap_back, swap_in
from propolis.run import Results, Step
from propolis.stack.database import server as database
from propolis.stack.index.service import Index
from propolis.stack.minio.service import Minio
from propolis.stack.stack import LABELS, STORES, index_of, instances, kind_of, service_of
from propolis.stack.thehive import embedded


class CheckRestore(Step[Context, Mapping[str, Any]], frozen=True, kw_only=True, tag="check-restore"):
    """Checks, before anything is touched, all that could make the restore fail."""

    turn = "check"

    tries_only = True

    backup: str
    trees: tuple[str, ...]
    running: tuple[str, ...]
    trials: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)
    """Where, by folder, it is tried whether it can be replaced: beside it, and in it."""

    needs = (Restoration,)

    def _title(self) -> str:
        return f"check backup {self.backup}, key, versions, cluster name, folders and free space"

    def do(self, context: Context, results: Results) -> Mapping[str, Any]:
        """Raise PreflightError, RepositoryError or IntegrityError if anything speaks against it."""
        return check(context, results.given(Restoration), self.trees, self.running, self._targets())

    def summary(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Which backup it is, and how many packs it takes."""
        return result

    def undo(self, context: Context) -> None:
        """Drop what was tried."""
        for target in self._targets():
            drop_trials(target)

    def _targets(self) -> list[Target]:
        return [Target(Path(folder), Path(beside), Path(inside)) for folder, (beside, inside) in self.trials.items()]


class StageFolder(Step[Context, RestoreResult], frozen=True, kw_only=True, tag="stage-folder"):
    """Writes one tree beside its target, every byte checked, while the present services still run."""

    turn = "stage"

    tree: str
    target: str
    staged: str

    needs = (Restoration,)

    def _title(self) -> str:
        return f"fetch {self.tree} to a folder beside {self.target}"

    def do(self, context: Context, results: Results) -> RestoreResult:
        """Write it."""
        restoration = results.given(Restoration)
        return restore_folder(
            restoration.repository,
            restoration.manifest,
            self.tree,
            Path(self.staged),
            owner=owner_map(restoration.manifest, self.tree, Path(self.target)),
            observer=restoration.progress(context.observer),
        )

    def summary(self, result: RestoreResult) -> Mapping[str, Any]:
        """How much was written, and what could not be."""
        return {"files": result.files, "bytes": result.bytes, "unkept": [str(kind) for kind in result.unkept]}

    def undo(self, context: Context) -> None:
        """Remove it."""
        clone.drop(Path(self.staged))


class LayBeside(Step[Context, RestoreResult], frozen=True, kw_only=True, tag="lay-beside"):
    """Writes a configuration tree of another host into a folder of its own, for comparison; nothing reads it."""

    turn = "stage"

    tree: str
    folder: str

    needs = (Restoration,)

    def _title(self) -> str:
        return f"put {self.tree} into {self.folder}, to compare it with this host's own"

    def do(self, context: Context, results: Results) -> RestoreResult:
        """Write it, replacing what an earlier restore of the same backup laid there."""
        restoration = results.given(Restoration)
        folder = Path(self.folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return restore_folder(
            restoration.repository,
            restoration.manifest,
            self.tree,
            folder,
            observer=restoration.progress(context.observer),
        )

    def undo(self, context: Context) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class FillBucket(Step[Context, Filled], frozen=True, kw_only=True, tag="fill-bucket"):
    """Puts the objects that the bucket lacks; those it has are compared, never overwritten unless they differ."""

    turn = "stage"

    tree: str

    needs = (Restoration,)

    def _title(self) -> str:
        return f"upload the objects that the bucket of {self.tree} lacks"

    def do(self, context: Context, results: Results) -> Filled:
        """Put them, having noted durably which ones are new."""
        return add_missing(context, results.given(Restoration), self.tree)

    def summary(self, result: Filled) -> Mapping[str, Any]:
        """How many objects were put, and how many were there."""
        return {"added": result.added, "replaced": result.replaced, "already there": result.already_there}

    def undo(self, context: Context) -> None:
        """Delete those that were put."""
        take_back(context, self.tree)


class CheckOthers(Step[Context, None], frozen=True, kw_only=True, tag="check-others"):
    """Checks once more, right before services stop, that nothing of others is taken away that wasn't named."""

    turn = "others"

    trees: tuple[str, ...]
    running: tuple[str, ...]

    needs = (Restoration,)

    def _title(self) -> str:
        return "check again that no data of other applications is replaced"

    def do(self, context: Context, results: Results) -> None:
        """Raise PreflightError if something is."""
        check_others_again(context, results.given(Restoration), self.trees, self.running)


class CheckDrained(Step[Context, None], frozen=True, kw_only=True, tag="check-drained"):
    """Checks the same of the stopped database: what others wrote and was in memory only is in its files now."""

    turn = "drained"

    needs = (Restoration,)

    def _title(self) -> str:
        return "check that the drained database holds no more data of other applications"

    def do(self, context: Context, results: Results) -> None:
        """Raise PreflightError if it does; undoing starts the services again."""
        check_drained(context, results.given(Restoration))


class ReplaceFolders(Step[Context, None], frozen=True, kw_only=True, tag="replace-folders"):
    """Moves the present data aside and the staged data in."""

    turn = "replace"

    swaps: tuple[Swap, ...]
    down: tuple[str, ...] = ()
    """Services that must not run meanwhile."""

    needs = (Logins,)

    def _title(self) -> str:
        return f"move the content of {len(self.swaps)} folders aside and the restored content in"

    def promise(self, context: Context) -> Mapping[str, Any]:
        """Nobody may start services on folders that are half replaced without undoing that first."""
        return promise(context.config, (), because="the restore was replacing the services' folders")

    def do(self, context: Context, results: Results) -> None:
        """Swap them one by one. Raises PreflightError if a service was started in the meantime."""
        context.services.require_down(self.down)
        for swap in self.swaps:
            swap_in(swap)
        context.services.logins |= results.given(Logins).backed_up

    def undo(self, context: Context) -> None:
        """Bring the former content back."""
        context.services.logins.clear()
        for swap in reversed(self.swaps):
            swap_back(swap)


class GivePassword(Step[Context, None], frozen=True, kw_only=True, tag="give-password"):
    """Gives the role or user that this host's TheHive logs in as, which came with the data, this host's password.

    Undone with the data: it is put back as it was. Both passwords are in memory only.
    """

    turn = "password"

    service: str
    name: str

    needs = (Logins,)

    def _title(self) -> str:
        kind = kind_of(self.service).logins
        return f"give the {kind} {self.name} of {LABELS[self.service]} this host's password"

    def do(self, context: Context, results: Results) -> None:
        """Give it, and log in with it. Raises PreflightError if that is refused."""
        change = results.given(Logins).change_of(self.service)
        service_of(context.config, self.service).give_password(change.known, change.wanted)
        context.services.logins[self.service] = change.wanted


class CheckStores(Step[Context, Mapping[str, Any]], frozen=True, kw_only=True, tag="check-stores"):
    """Checks, before TheHive starts, that the stores hold what was backed up. An empty system is no success."""

    turn = "compare"

    stores: tuple[str, ...]
    services: tuple[str, ...] = (Index.role,)
    """Those whose data was restored; older journals name none."""

    needs = (Restoration,)

    def _title(self) -> str:
        more = (name for name in self.services if kind_of(name).optional)
        named = [*self.stores, *(LABELS[name] for name in more)]
        return f"check that {' and '.join(named)} hold what was backed up"

    def do(self, context: Context, results: Results) -> Mapping[str, Any]:
        """Raise IntegrityError if they don't."""
        found: dict[str, Any] = {}
        for store in self.stores:
            if lacking := embedded.missing(context.config, store):
                raise IntegrityError(
                    f"The {store} does not hold what was backed up: {lacking}",
                    left="The former data is being put back",
                    next="Run `propolis verify` on this backup, and restore another one",
                )
        if "database" in self.stores and context.config.cassandra is not None:
            found["rows"] = database.require_graph(context.config.cassandra, context.services.logins.get("database"))
        for service in instances(context.config):
            if service.role in self.services and isinstance(service, Index):
                counted = check_indices(context, results.given(Restoration).manifest, service)
                found |= service.noted({"documents": counted})
            elif service.role in self.services and isinstance(service, Minio):
                require_bucket(service.files)
        return found

    def summary(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """What was counted in each store."""
        return result


class LiftWriteBlocks(Step[Context, Mapping[str, Any]], frozen=True, kw_only=True, tag="lift-write-blocks"):
    """Lets TheHive write again to an index that came blocked: its server's disk was nearly full, once."""

    turn = "unblock"

    service: str = Index.role

    def _title(self) -> str:
        return f"unblock writes to {LABELS[self.service]}, if its disk has enough space"

    def do(self, context: Context, results: Results) -> Mapping[str, Any]:
        """Lift what the server set by itself; say what else blocks writes. The data isn't touched."""
        return {"lifted": let_write(context, index_of(context.config, self.service))}

    def summary(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """The indices that take writes again."""
        return result


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
        """Whatever is reported of it."""
        return None if result is None else msgspec.to_builtins(result)


class AcceptRestore(Step[Context, None], frozen=True, kw_only=True, tag="accept-restore"):
    """All checks have passed and every service answers: from here on the restored data is the stack's."""

    turn = "accept"

    services: tuple[str, ...]
    by_verdict: bool = False
    """Only if all hosts of the restore keep it."""

    commits = True

    def _title(self) -> str:
        return "accept the restored data (from here on it is kept)"

    def promise(self, context: Context) -> Mapping[str, Any]:
        """The services run on whole data again, and are to."""
        return promise(context.config, self.services)

    def do(self, context: Context, results: Results) -> None:
        """Nothing, the journal now holds it. With others, raise PropolisError unless all of them keep it."""
        if self.by_verdict:
            require_verdict(context)
