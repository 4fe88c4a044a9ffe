"""Objects of a bucket that a run added, replaced or removed, so that it can be taken back.

A note in the state folder, durable before the first object is touched, names all of them. What is replaced or removed
is copied aside within the bucket first, under a prefix of the run.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from propolis import durable
from propolis.errors import PropolisError
from propolis.stack.files.bucket import S3Bucket


class Note(msgspec.Struct, frozen=True):
    """What a run changes in a bucket, by key; `aside` is the prefix under which former objects are kept."""

    aside: str
    added: list[str]
    """Nothing lay there before."""
    replaced: list[str]
    removed: list[str] = []
    """Nothing lies there after."""

    @property
    def former(self) -> list[str]:
        """The keys of which a former object is kept."""
        return [*self.replaced, *self.removed]


def note_file(state: Path, run: str, tree: str) -> Path:
    """Where the keys that a run touches are noted."""
    return state / f"bucket-{run}-{tree.replace('/', '-')}.json"


def aside_prefix(run: str) -> str:
    """Under which prefix a run copies objects aside."""
    return f".propolis-aside-{run}/"


def write_note(path: Path, note: Note) -> None:
    """Write it, durably. Raises OSError."""
    durable.write(path, msgspec.json.encode(note))


def read_note(path: Path) -> Note | None:
    """Read it; None if there is none. Raises PropolisError."""
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


def drop_objects(bucket: S3Bucket, path: Path) -> None:
    """Remove for good what was copied aside, and the note; idempotent. Raises RepositoryError, PropolisError."""
    note = read_note(path)
    if note is None:
        return
    for key in note.former:
        bucket.delete(note.aside + key)
    path.unlink(missing_ok=True)
