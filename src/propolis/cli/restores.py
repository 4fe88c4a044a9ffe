"""`restore`, `verify`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from propolis.cli import undoing
from propolis.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    AsOf,
    BackupArgument,
    ConfigFile,
    IdentityFile,
    PlanOnly,
    Quiet,
    config_of,
    moment_of,
    named,
    observer,
)
from propolis.cli.targets import file_of, target_of
from propolis.cli.undoing import KeepOld, NoKeepOld, Undo, days_here, days_of, require_somebody_to_ask
from propolis.command.context import Context
from propolis.errors import IntegrityError, UsageError
from propolis.recovery import recover_held
from propolis.report.backups import show_verify
from propolis.report.console import console, show_plan
from propolis.report.json import print_json, print_plan
from propolis.report.review import confirm, show_review, show_reviews
from propolis.report.runs import show_restore
from propolis.report.units import human_bytes
from propolis.repository import VerifyLevel
from propolis.restore import RestoreRequest
from propolis.restore import restore as run_restore
from propolis.restore.cold import restore_plan
from propolis.restore.hosts.names import parse_renames
from propolis.restore.measure import Measured
from propolis.restore.prepare import prepare
from propolis.restore.review import review
from propolis.restore.woven.plan import WovenRequest, look, restore_hosts
from propolis.run.journal import new_run_id
from propolis.stack.stack import OPTIONAL, STORES
from propolis.verify import verify_backup


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command()(restore)
    app.command()(verify)


def restore(
    backup: BackupArgument = "",
    identity: IdentityFile = None,
    only: Annotated[
        str,
        typer.Option(
            "--only", help=f"Restore only these stores (comma-separated): {', '.join(STORES)}", metavar="STORES"
        ),
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="Restore onto another stack: its propolis.yaml, or the root folder that contains its etc/",
            metavar="PATH",
            readable=False,
        ),
    ] = None,
    set_password: Annotated[
        bool,
        typer.Option(
            "--set-password",
            help="Give the database's role and the index's user this host's passwords if those of the backup differ",
        ),
    ] = False,
    replace_index: Annotated[
        list[str] | None,
        typer.Option(
            "--replace-index",
            help="Replace this index of another application, even if it is newer than the backup or not in it; "
            "repeatable",
            metavar="NAME",
        ),
    ] = None,
    replace_keyspace: Annotated[
        list[str] | None,
        typer.Option(
            "--replace-keyspace",
            help="Replace this keyspace of another application, as --replace-index does with an index; repeatable",
            metavar="NAME",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            help=f"Leave this service and its data on this host unchanged ({', '.join(OPTIONAL)}); repeatable",
            metavar="SERVICE",
        ),
    ] = None,
    from_host: Annotated[
        list[str] | None,
        typer.Option(
            "--from-host",
            help="Of a stack on several hosts: restore onto the host NEW what was backed up on OLD; repeatable "
            "[default: hosts keep their names]",
            metavar="NEW=OLD",
        ),
    ] = None,
    at: AsOf = "",
    keep_old: KeepOld = "",
    no_keep_old: NoKeepOld = False,
    undo: Undo = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before data is replaced; needed without a terminal")
    ] = False,
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Restore a backup.

    The data it replaces is kept until the checks pass; a failed restore is undone. With --keep-old the former data is
    kept for some days longer, and --undo puts it back.
    """
    if undo:
        if backup or identity or only or without or set_password or replace_index or replace_keyspace or at:
            raise UsageError(
                "--undo takes a run; it can't be combined with ID, --identity, --only, --at or options "
                "that replace data"
            )
        undoing.undo_restore(
            undo, to, config, keep_old, no_keep_old=no_keep_old, yes=yes, plan=plan, as_json=as_json, quiet=quiet
        )
        return
    if not backup:
        raise UsageError("Give a backup's ID or a prefix of it, or `latest`", next="See `propolis list`")
    stores = tuple(name.strip() for name in only.split(",") if name.strip())
    if unknown := sorted(set(stores) - set(STORES)):
        raise UsageError(f"--only: there is no store {', '.join(unknown)}; stores are {', '.join(STORES)}")
    moment = moment_of(at)
    if not (plan or yes):
        require_somebody_to_ask(quiet=quiet, as_json=as_json)
    days = days_of(keep_old, no_keep_old=no_keep_old)
    source = config_of(config)
    renames = parse_renames(from_host or ())
    if source.hosts:
        if identity or to or without or at:
            raise UsageError(
                "A stack on several hosts can't be restored with --identity, --to, --without or --at",
                next="Each host opens the backup with its own key: restore.identity in its propolis.yaml",
            )
        woven = WovenRequest(
            config=source,
            file=config,
            backup=backup,
            renames=renames,
            stores=stores,
            set_password=set_password,
            keep_days=days_here(days, keep_old, source),
            replace_indices=tuple(replace_index or ()),
            replace_keyspaces=tuple(replace_keyspace or ()),
        )
        _restore_hosts(woven, yes=yes, plan=plan, as_json=as_json, quiet=quiet)
        return
    if renames:
        raise UsageError("--from-host is for a stack on several hosts: propolis.yaml has no `hosts`")
    target = source if to is None else target_of(to, source)
    left_out = tuple(without or ())
    if unknown := sorted(set(left_out) - set(OPTIONAL)):
        raise UsageError(f"--without: {', '.join(unknown)} is not one of {', '.join(OPTIONAL)}")
    target = target.model_copy(update=dict.fromkeys(left_out))
    request = RestoreRequest(
        source=source,
        target=target,
        backup=backup,
        identity=identity,
        stores=stores,
        at=moment,
        without=left_out,
        set_password=set_password,
        keep_days=days_here(days, keep_old, target),
        replace_indices=tuple(replace_index or ()),
        replace_keyspaces=tuple(replace_keyspace or ()),
    )
    if plan:
        with Context(target, observer(quiet=quiet, as_json=as_json), new_run_id()) as context:
            restoration = prepare(request, context)
            show_plan(restore_plan(restoration, context))
            for found in restoration.logins.checks():
                if found.result != "ok":
                    console().print(f"{found.message}. {found.hint}.", markup=False)
        return
    if not yes:
        request = _agreed(request)
    report = run_restore(request, observer(quiet=quiet, as_json=as_json), recover_held)
    if as_json:
        print_json(report)
    elif not quiet:
        show_restore(report, named(config if to is None else file_of(to, target)))


def _restore_hosts(request: WovenRequest, *, yes: bool, plan: bool, as_json: bool, quiet: bool) -> None:
    """Restore onto all hosts, having asked; or show how."""
    told = observer(quiet=quiet, as_json=as_json)
    if plan or not yes:
        found = look(request, told)
        if plan:
            (print_plan if as_json else show_plan)(found.plan, tuple(found.reviews))
        for remark in found.remarks:
            console(stderr=as_json or not plan).print(remark, markup=False)
        if plan:
            return
        here = [store.here for review in found.reviews.values() for store in review.stores if store.in_place]
        heading = f"Backup {found.backup} replaces data on {len(found.reviews)} hosts:"
        show_reviews(found.reviews, heading, found.matches, _fate(request.keep_days, here))
        confirm("Replace it on all of them?", "restore")
        request = replace(request, backup=found.backup)
    report = restore_hosts(request, told, recover_held)
    if as_json:
        print_json(report)
    elif not quiet:
        show_restore(report)


def _agreed(request: RestoreRequest) -> RestoreRequest:
    """Show what would be replaced and ask, with nothing locked meanwhile; give the request for that very backup.

    Raises Interrupted unless the answer is yes.
    """
    with Context(request.target, observer(quiet=False, as_json=False), new_run_id()) as context:
        restoration = prepare(request, context)
        restore_plan(restoration, context)  # what keeps a restore from being planned is said before somebody is asked
        found = review(context, restoration)
        show_review(found, _fate(request.keep_days, [store.here for store in found.stores if store.in_place]))
        confirm("Replace it?", "restore")
        ask = functools.partial(typer.confirm, err=True)
        set_password = request.set_password or restoration.logins.agreed(ask)
        return replace(request, backup=restoration.manifest.id, set_password=set_password)


def _fate(keep_days: int, here: Sequence[Measured]) -> str:
    """What becomes of the former data, which is what lies here."""
    if not keep_days:
        return "The former data is kept until the restored stack has passed its checks; then it is deleted."
    least = "" if all(one.whole for one in here) else "at least "
    days = f"{keep_days} {'day' if keep_days == 1 else 'days'}"
    return (
        f"The former data ({least}{human_bytes(sum(one.bytes for one in here))}) stays beside the restored data for "
        f"{days}; until then `propolis restore --undo` puts it back."
    )


def verify(
    backup: BackupArgument = "latest",
    level: Annotated[
        VerifyLevel,
        typer.Option(
            "--level",
            help="manifest: check that everything exists; sample: also read some packs; full: read all packs",
        ),
    ] = "full",
    identity: IdentityFile = None,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Record the result in the repository, or don't write to it")
    ] = True,
    at: AsOf = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a backup.

    Without the recovery key its stored bytes are checked; with it, also the content of every file.
    """
    moment = moment_of(at)
    told = observer(quiet=quiet, as_json=as_json)
    result = verify_backup(config_of(config), backup, level, identity, told, record=record, at=moment)
    if as_json:
        print_json(result)
    elif not quiet or not result.ok:
        show_verify(result)
    if not result.ok:
        raise IntegrityError(
            f"Backup {result.id} failed verification: {result.findings[0].what}",
            left="The repository was left as it is",
            next="Take a new backup, and keep the others until one passes verification",
        )
