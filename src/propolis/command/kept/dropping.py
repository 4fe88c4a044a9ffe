"""Removing what is kept, for good: by name, when its time is over."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec

from propolis import clone
from propolis.command.kept.objects import drop_objects
from propolis.command.kept.record import Kept, KeptObjects, forget, lacking, record, records
from propolis.command.stores import open_bucket
from propolis.config.schema import Config
from propolis.errors import Interrupted, PreflightError, PropolisError
from propolis.run import Observer
from propolis.stack.stack import buckets


def drop(config: Config, kept: Kept) -> tuple[str, ...]:
    """Remove all that is kept of a run, then its record; the caller holds the stack's lock.

    Gives what was no longer there, one sentence each: where it is now, nobody knows but who moved it.

    May be killed and repeated: what is half removed is known as such, and never put back. Raises PropolisError.
    """
    missing = () if kept.dropping else lacking(kept)
    if not kept.dropping:
        record(config.state, msgspec.structs.replace(kept, dropping=True))
    for folder in kept.folders:
        clone.drop_aside(Path(folder.folder))
    for objects in kept.objects:
        _drop_objects(kept.stack(config), objects)
    forget(config.state, kept.run)
    return missing


def drop_expired(config: Config, observer: Observer, spare: str = "") -> None:
    """Remove what has been kept for its time, but not that of the run `spare`. What fails is told, and stays."""
    now = datetime.datetime.now(datetime.UTC)
    try:
        due = [kept for kept in records(config.state).kept if kept.is_due(now) and kept.run != spare]
    except PreflightError as error:
        observer.note(str(error))
        return
    for kept in due:
        observer.note(f"deleting the data that run {kept.run} replaced: it was kept until {kept.until[:10]}")
        try:
            for missing in drop(config, kept):
                observer.note(missing)
        except Interrupted:
            raise
        except (PropolisError, OSError) as error:
            observer.note(f"it could not be deleted: {error}")


def _drop_objects(config: Config, objects: KeptObjects) -> None:
    note = Path(objects.note)
    if not note.is_file():
        return
    found = next((tree.bucket for tree in buckets(config) if tree.name == objects.tree), None)
    bucket = None if found is None else open_bucket(found)
    if bucket is None or bucket.place != objects.place:
        raise PreflightError(
            f"Former objects are kept in {objects.place}, which is not the bucket that propolis.yaml names",
            left="They stay there",
            next=f"Set `files` to it for a moment, or remove what begins with {objects.aside} there, then {note}",
        )
    drop_objects(bucket, note)
