"""A link as its far end has it: this process's standard input and output."""

from __future__ import annotations

import os
import threading
from typing import Generic, TypeVar

import msgspec

from propolis.link.frames import BrokenFrame, frame, read_frame

Sent = TypeVar("Sent")
Received = TypeVar("Received")


class StandardLink(Generic[Sent, Received]):
    """Messages on standard input and output, which nothing else uses from now on.

    Whatever else this process, or one that it starts, prints goes to standard error, and reads nothing.
    """

    def __init__(self, decoder: msgspec.msgpack.Decoder[Received]) -> None:
        # Unbuffered: a buffer that one thread waits for can't be closed by another when the interpreter ends.
        self._source = os.fdopen(os.dup(0), "rb", 0)
        self._target = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()
        self._writing = threading.Lock()

    def receive(self) -> Received | None:
        """Wait for the next message; None at the end of file. Raises BrokenFrame for what is none, OSError."""
        payload = self.receive_raw()
        return None if payload is None else self.decode(payload)

    def receive_raw(self) -> bytes | None:
        """Wait for the next message, perhaps one of another version; None at the end of file. Raises likewise."""
        return read_frame(self._source)

    def decode(self, payload: bytes) -> Received:
        """Understand it. Raises BrokenFrame."""
        try:
            return self._decoder.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BrokenFrame(f"what came over the link is not a message of Propolis: {error}") from None

    def send(self, message: Sent) -> None:
        """Send a message; wait while the near end takes nothing. Raises OSError, ValueError if it is too long."""
        data = memoryview(frame(self._encoder.encode(message)))
        with self._writing:
            while data:
                data = data[os.write(self._target, data) :]
