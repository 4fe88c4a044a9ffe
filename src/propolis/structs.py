"""Structs that are read from JSON in several threads at once."""

from __future__ import annotations

from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


def read_in_threads(struct: type[S]) -> type[S]:
    """Let a struct be read by several threads, the first time too.

    msgspec works out how to read a struct when one is read first, and keeps that unfinished while it works: another
    thread that reads one just then crashes the process (segmentation fault in `json_decode_struct_map_inner`, 0.22).
    """
    msgspec.json.Decoder(struct)
    return struct
