"""Restoring into a bucket: what is there is only replaced where it differs, and everything can be taken back.

A note in the state folder, durable before the first object is touched, names what is added and what is replaced.
Replaced objects are copied aside within the bucket first. Objects that the backup doesn't know stay: an attachment
that nothing refers to is harmless.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from propolis.command.context import Context
from propolis.command.stores import bucket_of
from propolis.errors import PropolisError
from propolis.repository import RestoreResult, restore_bucket
from propolis.restore.prepare import Restoration
from propolis.run.journal import sync_folder
from propolis.s3.objects import ObjectMeta


class Note(msgspec.Struct, frozen=True):
    """What a restore changes in a bucket, by key; `aside` is the prefix under which replaced objects are kept."""

    aside: str
    added: list[str]
    replaced: list[str]


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
    present = {meta.key: meta for meta in bucket.list()}
    added, replaced = [], []
    for entry in restoration.manifest.entries(tree):
        key = entry.path.decode()
        meta = msgspec.json.decode(entry.extra, type=ObjectMeta)
        if key not in present:
            added.append(key)
        elif (present[key].size, present[key].etag) != (entry.size, meta.etag):
            replaced.append(key)
    note = Note(f".propolis-aside-{context.run_id}/", added, replaced)
    _write(note_file(context, tree), note)
    for key in replaced:
        bucket.copy(key, note.aside + key)
    chosen = {key.encode() for key in (*added, *replaced)}
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


def take_back(context: Context, tree: str) -> None:
    """Undo `add_missing`, as far as it got; idempotent."""
    path = note_file(context, tree)
    note = _read(path)
    if note is None:
        return
    bucket = bucket_of(context.config, tree)
    kept = {meta.key for meta in bucket.list()}
    for key in note.replaced:
        if note.aside + key in kept:
            bucket.copy(note.aside + key, key)
            bucket.delete(note.aside + key)
    for key in note.added:
        if key in kept:
            bucket.delete(key)
    path.unlink()


def forget_added(context: Context, tree: str) -> None:
    """Make `add_missing` final: drop what was copied aside, and the note; idempotent."""
    path = note_file(context, tree)
    note = _read(path)
    if note is None:
        return
    if note.replaced:
        bucket = bucket_of(context.config, tree)
        for key in note.replaced:
            bucket.delete(note.aside + key)
    path.unlink()


def note_file(context: Context, tree: str) -> Path:
    """Where the keys that this run touches are noted."""
    return context.config.state / f"bucket-{context.run_id}-{tree.replace('/', '-')}.json"


def _write(path: Path, note: Note) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(note))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def _read(path: Path) -> Note | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Note)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        # Torn while it was written: then no object had been touched yet.
        path.unlink()
        return None
    except OSError as error:
        raise PropolisError(f"Can't read {path}: {error.strerror}") from error
