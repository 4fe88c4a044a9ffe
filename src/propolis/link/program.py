"""A link as its near end has it: messages to a program and from it, and proof to both sides that the other is there.

A thread reads, another one says every few seconds that this side is alive. A far end that was silent for too long is
lost, as is one that says what isn't a message; then the program is killed, so that its far end notices as well.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from propolis.errors import PropolisError
from propolis.link.frames import BrokenFrame, frame, read_frame
from propolis.link.messages import Beat, FromAgent, ToAgent
from propolis.link.process import LAST_WORDS, EndedAtOnce, LinkLost, NotAnswering, NotPropolis, Process, harmless

Sent = TypeVar("Sent")
Received = TypeVar("Received")

BEAT_SECONDS = 5.0
"""Longest time between two signs of life."""

FIRST_WORD = 60.0
"""Seconds in which an agent has to begin to speak: a login over SSH comes before, and the start of Python."""

BEATS = 6
"""How many signs of life fit into the silence after which somebody is lost, at least."""

WAITING = 64
"""Messages that wait to be received; then the far end has to wait."""

_LOOK = 0.5
"""Seconds after which whoever waits to send looks whether the link is still there."""

_SHOWN = 80
"""Bytes of a wrong answer that are shown."""


class Program(Generic[Sent, Received]):
    """The link. `send` and `receive` may be called from several threads, each message goes to one receiver."""

    def __init__(
        self,
        command: Sequence[str],
        name: str,
        decoder: msgspec.msgpack.Decoder[Received],
        *,
        beat: Sent,
        silence: float,
        first: float = 0.0,
    ) -> None:
        """Start the program. `name` begins every message, e.g. "The host db2"; `beat` is what both sides say while
        there is nothing to say; `silence` the seconds after which the far end is lost, if it has said anything; for
        its first word it has `first` seconds if that is longer. Raises NotStarted.
        """
        self.name = name
        self.silence = silence
        self.sent = 0
        """Bytes, with all that frames them."""
        self._process = Process(command, name)
        os.set_blocking(self._process.stdin, False)
        self._first = max(first, silence)
        self._pipe = _Pipe(self._process.stdout, silence, self._first)
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()
        self._beat = beat
        self._arrived: SimpleQueue[Received | None] = SimpleQueue()
        self._room = threading.Semaphore(WAITING)
        self._heard = False
        self._failure: PropolisError | None = None
        self._writing = threading.Lock()
        self._is_over = threading.Event()
        self._threads = (
            threading.Thread(target=self._read, name="link-read", daemon=True),
            threading.Thread(target=self._keep_alive, name="link-beat", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def received(self) -> int:
        """Bytes, with all that frames them."""
        return self._pipe.count

    @property
    def failure(self) -> PropolisError | None:
        """Why there is no link any more; None while there is one, or where it was closed in good order."""
        return self._failure

    def send(self, message: Sent) -> None:
        """Send a message; wait while the far end takes nothing. Raises what `failure` says once the link is lost.

        Raises ValueError, with nothing sent, for a message that is too long.
        """
        data = frame(self._encoder.encode(message))
        with self._writing:
            before = self.sent
            try:
                self._write(memoryview(data))
            except OSError:
                self._threads[0].join(LAST_WORDS)  # it knows more: how the program ended
                self._fail(self._lost("it takes nothing any more"))
                raise self._lost("") from None
            except BaseException:
                if before != self.sent:  # half a message was said: nothing can follow it
                    self._fail(self._lost("this side was interrupted in the middle of a message"))
                raise

    def receive(self, timeout: float | None = None) -> Received | None:
        """Wait for the next message and give it; None if there was none within `timeout` seconds.

        Raises, once all that came before was received, what `failure` says: EndedAtOnce, NotPropolis or NotAnswering
        if there never was a link, LinkLost if there was one.
        """
        try:
            message = self._arrived.get(timeout=timeout)
        except Empty:
            return None
        if message is None:
            self._arrived.put(None)
            raise self._lost("it was closed")
        self._room.release()
        return message

    def close(self) -> None:
        """End it in good order: the program sees the end of its input, and is killed if it doesn't end then."""
        self._is_over.set()
        with self._writing:
            self._room.release(WAITING)
            self._process.end()
        for thread in self._threads:
            thread.join(LAST_WORDS)
        if not self._threads[0].is_alive():
            self._process.close_output()

    def cut(self) -> None:
        """End it at once, as if it had been lost."""
        self._fail(self._lost("it was cut"))

    def _write(self, data: memoryview) -> None:
        takes = select.poll()
        takes.register(self._process.stdin, select.POLLOUT)
        while data:
            if self._is_over.is_set():
                raise self._lost("it was closed")
            with contextlib.suppress(BlockingIOError):
                count = os.write(self._process.stdin, data)
                self.sent += count
                data = data[count:]
                continue
            takes.poll(_LOOK * 1000)

    def _read(self) -> None:
        source = io.BufferedReader(self._pipe, 1 << 16)
        try:
            while (payload := read_frame(source)) is not None:
                message = self._decoder.decode(payload)
                self._heard = True
                if type(message) is type(self._beat):
                    continue
                self._room.acquire()
                self._arrived.put(message)
            failure = self._ended()
        except TimeoutError:
            failure = self._silent()
        except (BrokenFrame, msgspec.MsgspecError, ValueError, RecursionError) as error:
            failure = self._broken(error)
        except OSError as error:
            failure = self._lost(f"it can't be read: {error.strerror}")
        self._fail(failure)

    def _fail(self, failure: PropolisError) -> None:
        if self._failure is None and not self._is_over.is_set():
            self._failure = failure
        self._is_over.set()
        self._process.kill()
        self._arrived.put(None)

    def _ended(self) -> PropolisError:
        why = self._process.why_ended()
        if self._heard:
            return self._lost(why)
        return EndedAtOnce(
            f"{self.name} can't be reached: {why}", next="Run the command by hand and check what it says"
        )

    def _silent(self) -> PropolisError:
        if self._heard:
            return self._lost(f"nothing was heard for {self.silence:g} s")
        self._process.kill()
        told = self._process.told()
        return NotAnswering(
            f"{self.name} can't be reached: it does not answer within {self._first:g} s"
            + (f" ({told})" if told else ""),
            next="Check that it is up, and that the command of its link works by hand",
        )

    def _broken(self, error: Exception) -> PropolisError:
        if self._heard:
            return self._lost(f"what came is not a message of Propolis ({error})")
        if self._pipe.is_at_end and self._pipe.first[:1] == b"\0":  # one was beginning
            return self._ended()
        self._process.kill()
        told = self._process.told()
        return NotPropolis(
            f'{self.name} can\'t be used: not Propolis answered, but "{harmless(self._pipe.first[:_SHOWN])}"'
            + (f" ({told})" if told else ""),
            next="Check that the command of its link runs `propolis` there and prints nothing else, "
            "e.g. from a shell's start-up file",
        )

    def _lost(self, why: str) -> PropolisError:
        return self._failure or LinkLost(f"The link to {_inner(self.name)} was lost: {why}")

    def _keep_alive(self) -> None:
        while not self._is_over.wait(min(BEAT_SECONDS, self.silence / BEATS)):
            with contextlib.suppress(PropolisError):
                self.send(self._beat)


class _Pipe(io.RawIOBase):
    """What the program says; TimeoutError where it is silent for too long."""

    def __init__(self, file: int, silence: float, first: float) -> None:
        self.count = 0
        self.first = b""
        self.is_at_end = False
        self._file = file
        self._silence = silence
        self._first = first
        self._poll = select.poll()
        self._poll.register(file, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._poll.poll((self._silence if self.count else self._first) * 1000):
            raise TimeoutError
        count = os.readv(self._file, [buffer])
        self.is_at_end = not count
        if self.count < _SHOWN:
            self.first += bytes(buffer[: min(count, _SHOWN)])
        self.count += count
        return count


def open_link(command: Sequence[str], host: str, silence: float) -> Program[ToAgent, FromAgent]:
    """Start the program that leads to a host's agent. Raises NotStarted."""
    decoder: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
    return Program(command, f"The host {host}", decoder, beat=Beat(), silence=silence, first=FIRST_WORD)


def _inner(name: str) -> str:
    return name[:1].lower() + name[1:]
