"""What restores replaced and keep: former data beside the stack's folders and in its bucket, each with a record.

A record names all that is kept of one run, when it was replaced and until when it is kept. It lies beside the
journals (`RUN.kept`), and is what makes the data known: nothing else is used, moved back or removed.
"""

from propolis.command.kept.cleaning import CleanReport, clean, to_clean
from propolis.command.kept.dropping import drop, drop_expired
from propolis.command.kept.folders import Occupied, occupied
from propolis.command.kept.objects import Note, drop_objects, note_file, read_note, write_note
from propolis.command.kept.own import WithoutKept, own_objects
from propolis.command.kept.record import (
    Former,
    Kept,
    KeptFolder,
    KeptObjects,
    Records,
    aside_prefixes,
    find,
    forget,
    lacking,
    overtake,
    record,
    records,
)

__all__ = [
    "CleanReport",
    "Former",
    "Kept",
    "KeptFolder",
    "KeptObjects",
    "Note",
    "Occupied",
    "Records",
    "WithoutKept",
    "aside_prefixes",
    "clean",
    "drop",
    "drop_expired",
    "drop_objects",
    "find",
    "forget",
    "lacking",
    "note_file",
    "occupied",
    "overtake",
    "own_objects",
    "read_note",
    "record",
    "records",
    "to_clean",
    "write_note",
]
