"""Restoring into a bucket: what is there is only replaced where it differs, and everything can be taken back.

A note in the state folder, durable before the first object is touched, names what is added and what is replaced.
Replaced objects are copied aside within the bucket first. Objects that the backup doesn't know stay: an attachment
that nothing refers to is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from propolis.command.context import Context
from propolis.command.kept import KeptObjects, Note, drop_objects, note_file, read_note, write_note
from propolis.command.kept.objects import aside_prefix
from propolis.command.stores import bucket_of, open_bucket
from propolis.config.schema import S3Files
from propolis.errors import IntegrityError, PreflightError, RepositoryError
from propolis.repository import RestoreResult, restore_bucket
from propolis.restore.prepare import Restoration
from propolis.s3.listing import Keys, ObjectList
from propolis.s3.objects import ObjectMeta
from propolis.stack.files.bucket import S3Bucket


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What was put into a bucket, in numbers of objects."""

    added: int
    replaced: int
    already_there: int
    written: RestoreResult


def add_missing(context: Context, restoration: Restoration, tree: str) -> Filled:
    """Put what the bucket lacks or holds differently. Raises what the bucket raises."""
    bucket = bucket_of(context.config, tree)
    present, chosen = ObjectList(bucket.list()), Keys()
    added, replaced = [], []
    for entry in restoration.manifest.entries(tree):
        key = entry.path.decode()
        meta = msgspec.json.decode(entry.extra, type=ObjectMeta)
        number = present.find(entry.path)
        if number is None:
            added.append(key)
        elif (present[number].size, present[number].etag) != (entry.size, meta.etag):
            replaced.append(key)
        else:
            continue
        chosen.append(entry.path)
    note = Note(aside_prefix(context.run_id), added, replaced)
    write_note(_note_file(context, tree), note)
    for key in replaced:
        bucket.copy(key, note.aside + key)
    written = restore_bucket(
        restoration.repository,
        restoration.manifest,
        tree,
        bucket,
        paths=chosen.__contains__,
        observer=restoration.progress(context.observer),
    )
    return Filled(
        added=len(added), replaced=len(replaced), already_there=len(present) - len(replaced), written=written
    )


def put_back(context: Context, kept: KeptObjects) -> Mapping[str, Any]:
    """Take back what an earlier run changed in a bucket, keeping what is replaced and removed now in the same way.

    Objects that came since are left: nothing refers to them. Raises PreflightError if a former object is gone.
    """
    note, bucket, present = _look(context, kept)
    if gone := gone_objects(kept, note, present):
        raise PreflightError(gone, left="The bucket was left as it is", next="Restore a backup instead")
    new = Note(
        aside_prefix(context.run_id),
        added=[key for key in note.former if key not in present],
        replaced=[key for key in note.former if key in present],
        removed=[key for key in note.added if key in present],
    )
    write_note(_note_file(context, kept.tree), new)
    for key in new.former:
        bucket.copy(key, new.aside + key)
    for key in note.former:
        bucket.copy(note.aside + key, key)
    for key in new.removed:
        bucket.delete(key)
    return {"added": len(new.added), "replaced": len(new.replaced), "removed": len(new.removed)}


def require_kept(context: Context, kept: KeptObjects) -> None:
    """Raise PreflightError unless every former object can be put back. Changes nothing."""
    note, _, present = _look(context, kept)
    if gone := gone_objects(kept, note, present):
        raise PreflightError(gone, left="Nothing was changed", next="Restore a backup instead")


def gone_objects(kept: KeptObjects, note: Note, present: set[str]) -> str:
    """Say which former objects are no longer kept; empty if all are."""
    gone = [key for key in note.former if note.aside + key not in present]
    if not gone:
        return ""
    return f"{len(gone)} former objects are gone from {kept.place}, e.g. {note.aside}{gone[0]}"


def take_back(context: Context, tree: str) -> None:
    """Undo `add_missing` or `put_back`, as far as it got; idempotent."""
    path = _note_file(context, tree)
    note = read_note(path)
    if note is None:
        return
    bucket = bucket_of(context.config, tree)
    present = _present(bucket, note)
    for key in note.former:
        if note.aside + key in present:
            bucket.copy(note.aside + key, key)
            bucket.delete(note.aside + key)
    for key in note.added:
        if key in present:
            bucket.delete(key)
    path.unlink()


def forget_added(context: Context, tree: str) -> None:
    """Make `add_missing` or `put_back` final: drop what was copied aside, and the note; idempotent."""
    path = _note_file(context, tree)
    if path.exists():
        drop_objects(bucket_of(context.config, tree), path)


def kept_objects(context: Context, tree: str) -> KeptObjects | None:
    """Describe what this run keeps of a bucket; None if it changed nothing there. Raises RepositoryError."""
    path = _note_file(context, tree)
    note = read_note(path)
    if note is None:
        return None
    bucket = bucket_of(context.config, tree)
    sizes = [meta.size for meta in bucket.list() if meta.key.startswith(note.aside)]
    return KeptObjects(tree, bucket.place, note.aside, str(path), len(sizes), sum(sizes))


def _look(context: Context, kept: KeptObjects) -> tuple[Note, S3Bucket, set[str]]:
    note = read_note(Path(kept.note))
    if note is None:
        raise PreflightError(f"{kept.note} is gone: it was renamed or removed", left="No object was changed")
    bucket = bucket_of(context.config, kept.tree)
    if bucket.place != kept.place:
        raise PreflightError(
            f"The former objects are kept in {kept.place}, and propolis.yaml names {bucket.place}",
            left="No object was changed",
            next="Set `files` to the bucket that was restored, or restore a backup instead",
        )
    return note, bucket, _present(bucket, note)


def _present(bucket: S3Bucket, note: Note) -> set[str]:
    """Which of a note's keys, there and aside, the bucket has."""
    named = {*note.added, *note.former}
    return {meta.key for meta in bucket.list() if meta.key in named or meta.key.startswith(note.aside)}


def _note_file(context: Context, tree: str) -> Path:
    return note_file(context.config.state, context.run_id, tree)


def require_bucket(bucket: S3Files) -> None:
    """Check that a MinIO whose folders were restored holds the bucket. Raises IntegrityError."""
    try:
        next(open_bucket(bucket).list(), None)
    except RepositoryError as error:
        raise IntegrityError(
            f"The restored MinIO does not open its bucket {bucket.bucket}: {error.what}",
            left="The former data is being put back",
            next="Check the keys of `files` in propolis.yaml, and with what MinIO encrypts (propolis doctor)",
        ) from None
