"""Frames: four bytes of length, big-endian, then so many bytes. Both ends may be hostile or cut off at any byte."""

from __future__ import annotations

import errno
import os
import select
from typing import BinaryIO

FRAME_LIMIT = 1 << 20
"""Bytes of the longest frame."""

_LENGTH = 4


class BrokenFrame(ValueError):
    """What came is no frame: too long, or cut off in the middle."""


class CutFrame(BrokenFrame):
    """The end of file came in the middle of a frame."""


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


class FrameReader:
    """Reads frames from a descriptor into one buffer, for those that carry bulk."""

    def __init__(self, file: int, silence: float | None = None) -> None:
        """`silence`: seconds without a byte after which TimeoutError, an OSError, is raised; None: wait for ever."""
        self._file = file
        self._milliseconds = None if silence is None else silence * 1000
        self._poll = select.poll()
        self._poll.register(file, select.POLLIN)
        self._head = memoryview(bytearray(_LENGTH))
        self._payload = memoryview(bytearray(FRAME_LIMIT))

    def next(self) -> memoryview | None:
        """The next frame's payload, valid until the next is asked for; None at the end of file.

        Raises CutFrame where that comes too early, BrokenFrame, or OSError.
        """
        got = self._fill(self._head)
        length = int.from_bytes(self._head, "big")
        if not got:
            return None
        if got == _LENGTH and length > FRAME_LIMIT:
            raise BrokenFrame("what came over the link is not a frame of Propolis")
        payload = self._payload[:length]
        if got < _LENGTH or self._fill(payload) < length:
            raise CutFrame("the link ended in the middle of a frame")
        return payload

    def _fill(self, target: memoryview) -> int:
        done = 0
        while done < len(target):
            if not self._poll.poll(self._milliseconds):
                raise TimeoutError(errno.ETIMEDOUT, "nothing comes over the link any more")
            count = os.readv(self._file, [target[done:]])
            if not count:
                break
            done += count
        return done


def send_frame(file: int, head: bytes, bulk: bytes | bytearray | memoryview = b"") -> None:
    """Write a frame whose payload is `head`, then `bulk`, which isn't copied. Raises ValueError, or OSError."""
    length = len(head) + len(bulk)
    if length > FRAME_LIMIT:
        raise ValueError(f"a frame of {length} bytes is longer than {FRAME_LIMIT}")
    first = memoryview(length.to_bytes(_LENGTH, "big") + head)
    parts = [first, memoryview(bulk)] if bulk else [first]
    while parts:
        count = os.writev(file, parts)
        while parts and count >= len(parts[0]):
            count -= len(parts.pop(0))
        if parts and count:
            parts[0] = parts[0][count:]
