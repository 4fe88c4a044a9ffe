"""Frames: four bytes of length, big-endian, then so many bytes. Both ends may be hostile or cut off at any byte."""

from __future__ import annotations

from typing import BinaryIO

FRAME_LIMIT = 1 << 20
"""Bytes of the longest frame."""

_LENGTH = 4


class BrokenFrame(ValueError):
    """What came is no frame: too long, or cut off in the middle."""


def frame(payload: bytes) -> bytes:
    """Put the length before it. Raises ValueError if it is too long."""
    if len(payload) > FRAME_LIMIT:
        raise ValueError(f"a frame of {len(payload)} bytes is longer than {FRAME_LIMIT}")
    return len(payload).to_bytes(_LENGTH, "big") + payload


def read_frame(source: BinaryIO) -> bytes | None:
    """Read the next frame's payload; None at the end of file. Raises BrokenFrame, or OSError."""
    head = _read(source, _LENGTH)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    if len(head) < _LENGTH or length > FRAME_LIMIT:
        raise BrokenFrame("what came over the link is not a frame of Propolis")
    payload = _read(source, length)
    if len(payload) < length:
        raise BrokenFrame("the link ended in the middle of a frame")
    return payload


def _read(source: BinaryIO, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size and (more := source.read(size - len(parts))):
        parts += more
    return bytes(parts)
