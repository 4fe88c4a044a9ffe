"""An object's bytes piece by piece: what arrives is hashed and decrypted while it is in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE = 1 << 20
"""Bytes of a piece: small enough for the cache, large enough that requests cost little."""


@dataclass(frozen=True)
class Stream:
    """An object that is being read. For one thread."""

    size: int
    """Bytes of the whole object, as the storage says before the first piece."""
    pieces: Iterable[memoryview]
    """In order; all but the last have `PIECE` bytes. Each is valid only until the next is asked for. An object that
    ends before its size gives fewer bytes."""

    @classmethod
    def of(cls, data: memoryview) -> Stream:
        """Bytes that are all there."""
        return cls(len(data), cut(data))


def cut(data: memoryview) -> Iterator[memoryview]:
    """A buffer in pieces, without copying."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]
