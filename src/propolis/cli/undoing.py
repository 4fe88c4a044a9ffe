"""`restore --undo`, and what a restore keeps for it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from propolis.cli.arguments import CONFIGURED
from propolis.cli.options import config_of, named, observer
from propolis.cli.targets import file_of, target_of
from propolis.command.context import Context
from propolis.command.kept import Kept
from propolis.config.schema import Config
from propolis.errors import UsageError
from propolis.recovery import recover_held
from propolis.report.console import show_plan
from propolis.report.json import print_json, print_plan
from propolis.report.review import confirm, show_reviews, show_undo_review
from propolis.report.runs import show_undo
from propolis.restore.former import UndoRequest, settled, undo, undo_plan
from propolis.restore.former.steps import require_undoable
from propolis.restore.review import review_undo
from propolis.restore.woven.undo import WovenUndoRequest, look_undo, undo_hosts
from propolis.run.journal import new_run_id

LONGEST = 3650
UNCONFIGURED = 7
"""Days for which --keep-old keeps where neither it nor the configuration says for how long."""

KeepOld = Annotated[
    str,
    typer.Option(
        "--keep-old",
        help="Keep the replaced data beside the restored data for this many days, so that --undo can put it back; "
        "without a number: as long as restore.keep_old says, else 7 days",
        metavar="[DAYS]",
    ),
]
NoKeepOld = Annotated[
    bool,
    typer.Option(
        "--no-keep-old", help="Delete the replaced data once the checks have passed, whatever is configured"
    ),
]
Undo = Annotated[
    str,
    typer.Option(
        "--undo",
        help="Undo a restore: put back the data that it replaced and kept. RUN is its ID in `propolis status`; "
        "without it, the newest",
        metavar="[RUN]",
    ),
]


def days_of(keep_old: str, *, no_keep_old: bool) -> int | None:
    """For how many days to keep what is replaced, 0 for not at all; None: no number is given. Raises UsageError."""
    if keep_old and no_keep_old:
        raise UsageError("--keep-old and --no-keep-old exclude each other: give one of them")
    if no_keep_old:
        return 0
    if keep_old in ("", CONFIGURED):
        return None
    if not (keep_old.isascii() and keep_old.isdigit() and int(keep_old) <= LONGEST):
        raise UsageError(f"--keep-old: {keep_old!r} is not a number of days from 0 to {LONGEST}")
    return int(keep_old)


def days_here(days: int | None, keep_old: str, target: Config) -> int:
    """The same where no number is given: as the target's configuration says, but with --keep-old some at least."""
    if days is not None:
        return days
    return target.restore.keep_old or (UNCONFIGURED if keep_old else 0)


def require_somebody_to_ask(*, quiet: bool, as_json: bool) -> None:
    """Raise UsageError where nobody can be asked whether data may be replaced. Opens nothing."""
    if quiet or as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        why = "with --quiet or --json nobody is asked" if quiet or as_json else "there is no terminal to ask on"
        raise UsageError(
            f"A restore replaces this stack's data, and {why}",
            left="Nothing was opened or changed",
            next="Look at what it would do with --plan, then add --yes",
        )


def undo_restore(
    run: str,
    to: Path | None,
    config: Path,
    keep_old: str,
    *,
    no_keep_old: bool,
    yes: bool,
    plan: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Put back what a run replaced, having asked; or show how."""
    days = days_of(keep_old, no_keep_old=no_keep_old)
    if not (plan or yes):
        require_somebody_to_ask(quiet=quiet, as_json=as_json)
    source = config_of(config)
    if source.hosts:
        if to is not None:
            raise UsageError("A stack on several hosts has no --to: its coordinator undoes a restore on all of them")
        woven = WovenUndoRequest(config=source, file=config, run=run, days=days)
        _undo_hosts(woven, yes=yes, plan=plan, as_json=as_json, quiet=quiet)
        return
    request = UndoRequest(source if to is None else target_of(to, source), run, days)
    request, kept = settled(request)
    told = observer(quiet=quiet, as_json=as_json)
    if plan:
        with Context(request.target, told, new_run_id()) as context:
            show_plan(undo_plan(request, context))
        return
    if not yes:
        _ask(request, kept)
    report = undo(request, told, recover_held)
    if as_json:
        print_json(report)
    elif not quiet:
        show_undo(report, named(config if to is None else file_of(to, request.target)))


def _undo_hosts(request: WovenUndoRequest, *, yes: bool, plan: bool, as_json: bool, quiet: bool) -> None:
    told = observer(quiet=quiet, as_json=as_json)
    if plan or not yes:
        found = look_undo(request)
        if plan:
            (print_plan if as_json else show_plan)(found.plan, tuple(found.reviews))
            return
        heading = f"The undo of run {found.run} replaces data on {len(found.reviews)} hosts:"
        show_reviews(found.reviews, heading, {}, _fate(found.days), "before that run", "changed here since that run")
        confirm("Put the former data back on all of them?", "undo")
        request = replace(request, run=found.run)
    report = undo_hosts(request, told, recover_held)
    if as_json:
        print_json(report)
    elif not quiet:
        show_undo(report)


def _fate(days: int) -> str:
    if days:
        return f"What is here now, with all changes, is kept for {days} days in its turn."
    return "What is here now, with all changes, is deleted once the former data has passed its checks."


def _ask(request: UndoRequest, kept: Kept) -> None:
    """Show what would be replaced and ask. Raises Interrupted without a yes."""
    require_undoable(request.target, kept)
    with Context(request.target, observer(quiet=False, as_json=False), new_run_id()) as context:
        days = kept.days if request.days is None else request.days
        show_undo_review(review_undo(context, kept), _fate(days))
        confirm("Put the former data back?", "undo")
