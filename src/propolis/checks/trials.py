"""Trying how a folder can be cloned outside of a run: what is made for it is on record before it is made, too."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from propolis import clone, durable
from propolis.run.journal import journal_folder


@contextlib.contextmanager
def trial(state: Path, folder: Path) -> Iterator[Path]:
    """Give the place for a trial beside `folder`; recovery removes what is there should this process be killed.

    Where there is no state folder yet, or it can't be written, nothing is recorded: the trial is gone in a moment.
    """
    name = f"trial{secrets.token_hex(6)}"
    place = clone.place(folder, name)
    record = journal_folder(state) / f"{name}.trial"
    with contextlib.suppress(OSError):
        durable.write_new(record, msgspec.json.encode({"places": [str(place)]}) + b"\n")
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):
            record.unlink(missing_ok=True)
