"""Former data that restores keep, for a person."""

from __future__ import annotations

from collections.abc import Sequence

from propolis.command.kept import CleanReport, Kept
from propolis.report.console import console, escape
from propolis.report.units import human_bytes
from propolis.status import KeptState


def show_kept(states: Sequence[KeptState]) -> None:
    """What is kept, one line a run, and what of it is no longer there."""
    out = console()
    for kept in states:
        until = "its time is over: the next backup or restore drops it" if kept.due else f"until {moment(kept.until)}"
        out.print(escape(f"kept: {_what(kept)}, {until}"))
        for missing in kept.missing:
            out.print(f"[yellow]no longer kept:[/] {escape(missing)}")


def show_clean_plan(chosen: Sequence[Kept]) -> None:
    """What `clean` would drop."""
    out = console()
    if not chosen:
        out.print("Nothing would be deleted.")
    for kept in chosen:
        out.print(escape(f"would delete: {_what(kept)}, kept until {moment(kept.until)}"))
        for folder in kept.folders:
            out.print(escape(f"  {folder.folder}  ({human_bytes(folder.bytes)})"))
        for objects in kept.objects:
            where = f"{objects.aside} in {objects.place}"
            out.print(escape(f"  {where}  ({objects.objects} objects, {human_bytes(objects.bytes)})"))


def show_clean(report: CleanReport) -> None:
    """What `clean` dropped, and what is still kept."""
    out = console()
    if not report.dropped:
        out.print("Nothing was deleted.")
    for kept in report.dropped:
        out.print(escape(f"deleted: {_what(kept)}"))
    for missing in report.missing:
        out.print(f"[yellow]not deleted:[/] {escape(missing)}")
    for why in report.unreadable:
        out.print(f"[yellow]left alone:[/] {escape(why)}")
    for kept in report.kept:
        out.print(escape(f"kept: {_what(kept)}, until {moment(kept.until)}"))


def moment(text: str) -> str:
    """A time of a record (UTC, ISO 8601) to the minute."""
    return f"{text[:16].replace('T', ' ')} UTC"


def _what(kept: Kept | KeptState) -> str:
    return f"what `{kept.command}` {kept.run} replaced, {kept.files} files, {human_bytes(kept.bytes)}"
