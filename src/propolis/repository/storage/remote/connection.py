"""The near end: one connection to a served repository, over the input and output of a program. Threads share it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

import msgspec

from propolis import __version__
from propolis.errors import PreflightError, PropolisError
from propolis.link.frames import BrokenFrame, CutFrame, FrameReader, send_frame
from propolis.link.messages import Beat
from propolis.link.process import NotStarted
from propolis.repository.storage.remote import messages as m
from propolis.repository.storage.remote.errors import printable, raised

_PIPE = 1 << 20
_END = 2.0
"""Seconds to wait for whoever is sending."""
Answer = m.Done | m.Page


class Far(Protocol):
    """The running program: `propolis.link.process.Process`."""

    stdin: int
    stdout: int

    def told(self) -> str:
        """What it said last on its standard error."""
        ...

    def exit_code(self) -> int | None:
        """How it ended, once its output has."""
        ...

    def end(self) -> None:
        """Close its input, and see that it ends."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


Start = Callable[[], Far]


class LostError(Exception):
    """The connection ended, or was never made; what was asked for may have been done or not."""

    def __init__(
        self,
        reason: str,
        code: int | None = None,
        told: str = "",
        *,
        opened: bool,
        unstarted: bool = False,
        unreadable: bool = False,
        silent: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        """The program's exit code, if it ended by itself."""
        self.told = told
        """What it said last on its standard error."""
        self.opened = opened
        """Whether the server had answered before."""
        self.unstarted = unstarted
        self.unreadable = unreadable
        """Whether something came that is not Propolis'."""
        self.silent = silent


class Pending:
    """A request under way. The bytes that are read go into `target`."""

    def __init__(self, id: int, target: memoryview | None = None) -> None:
        self.id = id
        self.target = target
        self.filled = 0
        self.answer: Future[Answer] = Future()


class Connection:
    """From the moment it is lost, every request raises `LostError`. What the server says is raised as it is."""

    def __init__(self, start: Start, path: str, place: str, *, silence: float = m.SILENCE) -> None:
        """Start the program and wait until the server answers. Raises `LostError`, or what the server says."""
        self.lost: LostError | PropolisError | None = None
        """Why it can't be used any more."""
        self.round_trip = math.inf
        """Seconds that the quickest answer took."""
        self._opened = False
        self._ids = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._sent_at = time.monotonic()
        self._puts = threading.BoundedSemaphore(m.PUTS // 2)
        self._ended = threading.Event()
        try:
            self._far = start()
        except NotStarted as error:
            raise LostError(error.what, opened=False, unstarted=True) from None
        for pipe in (self._far.stdin, self._far.stdout):
            with contextlib.suppress(OSError):  # fewer turns between the processes
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
        self._reader = FrameReader(self._far.stdout, silence)
        try:
            self._open(path, place)
        except BaseException:
            self.close()
            raise
        self._thread(self._listen)
        self._thread(self._beat)

    def read(self, name: str, start: int, target: memoryview) -> Pending:
        """Ask for bytes of an object, at most `READ_MOST`; they are there when the answer is."""
        return self._begin(lambda id: m.Read(id=id, name=name, start=start, count=len(target)), target)

    def ask(self, make: Callable[[int], m.Request]) -> Answer:
        """Make a request with this ID and wait for its answer."""
        began = time.monotonic()
        answer = self._begin(make).answer.result()
        self.round_trip = min(self.round_trip, time.monotonic() - began)
        return answer

    @property
    def busy(self) -> int:
        """Requests under way."""
        return len(self._pending)

    def put(self, name: str, data: memoryview, *, create: bool) -> None:
        """Store an object: durable when this returns."""
        with self._puts:
            pending = self._begin(lambda id: m.Put(id=id, name=name, size=len(data), create=create))
            sent = 0
            try:
                while sent < len(data) and not pending.answer.done():
                    bulk = data[sent : sent + m.BULK]
                    self._send(m.piece_head(pending.id, len(bulk)), bulk)
                    sent += len(bulk)
            finally:
                if sent < len(data):  # refused, or interrupted
                    with contextlib.suppress(LostError, PropolisError):
                        self._send(m.encode(m.Stop(id=pending.id)))
            pending.answer.result()

    def close(self) -> None:
        """End the program; nothing happens when it has ended."""
        self._lose(LostError("the connection was closed", opened=self._opened))

    # -- requests --------------------------------------------------------------------------------------------

    def _begin(self, make: Callable[[int], m.Request], target: memoryview | None = None) -> Pending:
        with self._lock:
            if self.lost is not None:
                raise self.lost
            pending = Pending(next(self._ids), target)
            self._pending[pending.id] = pending
        self._send(m.encode(make(pending.id)))
        return pending

    def _send(self, head: bytes, bulk: memoryview | None = None) -> None:
        whole = False
        with self._sending:
            if self.lost is not None:
                raise self.lost
            try:
                send_frame(self._far.stdin, head, b"" if bulk is None else bulk)
                whole = True
            except OSError:
                # Whoever listens knows better why.
                self._ended.wait(_END)
            finally:
                self._sent_at = time.monotonic()
                if not whole:  # after half a frame, e.g. at a Ctrl-C, nothing else can be sent
                    self._lose(LostError("the connection broke off", opened=self._opened), sending=True)
        if not whole and self.lost is not None:
            raise self.lost

    def _open(self, path: str, place: str) -> None:
        opening = m.encode(m.Open(protocol=m.PROTOCOL, propolis=__version__, path=path, place=place))
        with contextlib.suppress(OSError):  # it ended at once: what comes from it says why
            send_frame(self._far.stdin, opening)
        try:
            answer = self._next()
            while isinstance(answer, Beat):
                answer = self._next()
        except LostError as error:
            self._lose(error)
            raise
        if isinstance(answer, m.Failed):
            raise raised(answer)
        if not isinstance(answer, m.Opened):
            raise self._nonsense("it doesn't begin as it should")
        if answer.protocol != m.PROTOCOL:
            raise PreflightError(
                f"{place} is served by Propolis {printable(answer.propolis)[:40]}, which Propolis {__version__} "
                "can't use: they speak different versions of the protocol",
                left="Nothing was changed",
                next="Install the same version on both hosts",
            )
        self._opened = True

    # -- what comes ------------------------------------------------------------------------------------------

    def _next(self) -> m.FromServer:
        """The next message. Raises `LostError`."""
        try:
            payload = self._reader.next()
            if payload is not None:
                return m.decode_from_server(payload)
        except TimeoutError:
            raise LostError("the server fell silent", opened=self._opened, silent=True) from None
        except CutFrame:
            pass
        except (BrokenFrame, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._nonsense(str(error)) from None
        except OSError as error:
            raise LostError(f"the connection broke off: {error.strerror}", opened=self._opened) from None
        raise LostError("the connection ended", self._far.exit_code(), self._far.told(), opened=self._opened)

    def _nonsense(self, why: str) -> LostError:
        reason = f"it sent what can't be understood: {printable(why)}"
        return LostError(reason, opened=self._opened, unreadable=True)

    def _listen(self) -> None:
        try:
            while True:
                self._hear(self._next())
        except (LostError, PropolisError) as error:
            self._lose(error)
        except Exception as error:  # nobody must wait for ever
            self._lose(LostError(f"unexpected {type(error).__name__}: {error}", opened=self._opened))

    def _hear(self, message: m.FromServer) -> None:
        match message:
            case Beat():
                return
            case m.Piece():
                self._piece(message)
            case m.Done() | m.Page():
                self._answered(message.id).answer.set_result(message)
            case m.Failed():
                if message.id is None:
                    raise raised(message)
                self._answered(message.id).answer.set_exception(raised(message))
            case _:
                raise self._nonsense("it opens twice")

    def _piece(self, piece: m.Piece) -> None:
        with self._lock:
            pending = self._pending.get(piece.id)
        if pending is None or pending.target is None:
            raise self._nonsense("bytes that nobody asked for")
        end = pending.filled + len(piece.data)
        if end > len(pending.target):
            raise self._nonsense("more bytes than were asked for")
        pending.target[pending.filled : end] = piece.data
        pending.filled = end

    def _answered(self, id: int) -> Pending:
        with self._lock:
            pending = self._pending.pop(id, None)
        if pending is None:
            raise self._nonsense("an answer that nobody asked for")
        return pending

    # -- its end ---------------------------------------------------------------------------------------------

    def _lose(self, error: LostError | PropolisError, *, sending: bool = False) -> None:
        """End it, for this reason; `sending`: the caller holds that lock."""
        with self._lock:
            if self.lost is not None:
                return
            self.lost = error
            pending, self._pending = self._pending, {}
        self._ended.set()
        for one in pending.values():
            one.answer.set_exception(error)
        # At the end of its input it ends by itself, and leaves nothing half done; unless it no longer listens.
        if error.silent if isinstance(error, LostError) else False:
            self._far.kill()
        if sending or self._sending.acquire(timeout=_END):
            self._far.end()
            if not sending:
                self._sending.release()
        else:
            self._far.kill()

    def _beat(self) -> None:
        while not self._ended.wait(m.BEAT):
            if time.monotonic() - self._sent_at > m.BEAT and self._sending.acquire(blocking=False):
                # Not `_send`: that would wait for whoever sends, and the listener notices an end anyway.
                try:
                    if self.lost is None:
                        send_frame(self._far.stdin, m.encode(Beat()))
                    self._sent_at = time.monotonic()
                except OSError:
                    return
                finally:
                    self._sending.release()

    @staticmethod
    def _thread(run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=run, name="remote", daemon=True)
        thread.start()
        return thread
