"""What a restore would replace, for a person who is asked about it; and the question."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace

import typer

from propolis.errors import Interrupted
from propolis.report.console import console, escape
from propolis.report.kept import moment
from propolis.report.units import human_bytes
from propolis.restore.review import Review, StoreReview, UndoReview


def show_review(review: Review, fate: str) -> None:
    """Show it on standard error: results stay alone on standard output. `fate`: what becomes of the former data."""
    out = console(stderr=True)
    out.print(
        escape(
            f"Backup {review.backup} of the stack {printable(review.stack)}, taken on {printable(review.host)}, "
            f"ended {printable(review.taken)}."
        )
    )
    out.print(escape(f"It replaces the data of the stack {review.target} on this host, {review.target_host}:"))
    _show_losses(review, "in the backup", "changed here since the backup")
    out.print(escape(fate))


def show_reviews(
    reviews: Mapping[str, Review],
    heading: str,
    former: Mapping[str, str],
    fate: str,
    held: str = "in the backup",
    changed: str = "changed here since the backup",
) -> None:
    """The same of several hosts, by name; `former` is what they were called in the backup, where that differs."""
    out = console(stderr=True)
    out.print(escape(heading))
    for host, review in reviews.items():
        gets = f", with what was backed up on {printable(former[host])}" if former.get(host, host) != host else ""
        out.print(escape(f"{host} ({printable(review.target_host)}){gets}:"))
        _show_losses(review, held, changed)
    out.print(escape(fate))


def _show_losses(review: Review, held: str, changed: str) -> None:
    out = console(stderr=True)
    if review.stores:
        _show_stores(review.stores, held, changed)
    else:
        out.print("  nothing")
    if review.since:
        since = printable(review.since)
        out.print(escape(f"Changed since: files with a time after {since}, the services' own files included."))
    for note in review.notes:
        out.print(escape(printable(note)))


def show_undo_review(review: UndoReview, fate: str) -> None:
    """The same of an undo."""
    kept, out = review.kept, console(stderr=True)
    out.print(escape(f"`{kept.command}` {kept.run} replaced data on {moment(kept.at)}, by {printable(kept.backup)}."))
    out.print(escape(f"Its undo replaces the data of the stack {review.target} on this host, {review.target_host}:"))
    _show_stores(review.stores, "before that run", "changed here since that run")
    for note in review.notes:
        out.print(escape(printable(note)))
    out.print(escape(fate))


def confirm(question: str, what: str) -> None:
    """Ask on standard error whether `what` may begin. Raises Interrupted unless the answer is yes, also on Ctrl-C."""
    try:
        agreed = typer.confirm(question, err=True)
    except (typer.Abort, EOFError):
        agreed = False
        typer.echo("", err=True)
    if not agreed:
        raise Interrupted(f"The {what} was not confirmed", left="Nothing was changed")


def printable(text: str) -> str:
    """Text of a repository or of a server with whatever would steer a terminal shown as its escape sequence."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _show_stores(stores: Sequence[StoreReview], held: str, changed: str) -> None:
    rows = [("store", held, "here now", changed), *(_row(store) for store in stores)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        console(stderr=True).print(escape("  " + "  ".join([*cells, row[3]]).rstrip()))


def _row(found: StoreReview) -> tuple[str, str, str, str]:
    store = replace(found, store=printable(found.store))
    held = f"{store.held_files} files, {human_bytes(store.held_bytes)}"
    if not store.in_place:
        return store.store, held, "not replaced", "laid beside this host's own, for comparison"
    here, least = store.here, "" if store.here.whole else "at least "
    now = f"{least}{here.files} files, {human_bytes(here.bytes)}" if here.files or least else "nothing"
    changed = f"{least}{here.changed} files" if here.changed or least else "nothing"
    if here.changed:
        newest = datetime.datetime.fromtimestamp(here.newest_ns // 1_000_000_000, datetime.UTC)
        changed += f", the newest at {newest:%Y-%m-%d %H:%M:%S} UTC"
    return store.store, held, now, changed
