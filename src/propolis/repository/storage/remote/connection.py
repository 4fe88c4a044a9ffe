"""The near end: one connection to a served repository, over the input and output of a program. Threads share it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec

from propolis import __version__
from propolis.errors import PreflightError, PropolisError
from propolis.link.frames import BrokenFrame, FrameReader, send_frame
from propolis.link.messages import Beat
from propolis.repository.storage.remote import messages as m
from propolis.repository.storage.remote.errors import printable, raised

_STDERR = 8192
_PIPE = 1 << 20
_END = 2.0
"""Seconds that the program has to end by itself."""
UNSTARTED = "the program can't be started"
UNREADABLE = "it sent what can't be understood"
Answer = m.Done | m.Page


class LostError(Exception):
    """The connection ended, or was never made; what was asked for may have been done or not."""

    def __init__(self, reason: str, code: int | None = None, errors: str = "", *, opened: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        """The program's exit code, if it ended by itself."""
        self.errors = errors
        """The end of what it wrote to standard error."""
        self.opened = opened
        """Whether the server had answered before."""


class Pending:
    """A request under way. The bytes that are read go into `target`."""

    def __init__(self, id: int, target: memoryview | None = None) -> None:
        self.id = id
        self.target = target
        self.filled = 0
        self.answer: Future[Answer] = Future()


class Connection:
    """From the moment it is lost, every request raises `LostError`. What the server says is raised as it is."""

    def __init__(self, command: Sequence[str], path: str, place: str, *, silence: float = m.SILENCE) -> None:
        """Start the program and wait until the server answers. Raises `LostError`, or what the server says."""
        self.lost: LostError | PropolisError | None = None
        """Why it can't be used any more."""
        self._opened = False
        self._ids = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._sent_at = time.monotonic()
        self._puts = threading.BoundedSemaphore(m.PUTS // 2)
        self._ended = threading.Event()
        self._errors = bytearray()
        try:
            self._program = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # a Ctrl-C is for Propolis, which still needs the repository then
            )
        except OSError as error:
            raise LostError(f"{UNSTARTED} ({command[0]}): {error.strerror}", opened=False) from None
        assert self._program.stdin is not None and self._program.stdout is not None
        self._input = self._program.stdin
        self._in, self._out = self._input.fileno(), self._program.stdout.fileno()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):  # fewer turns between the processes
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
        self._hearing = self._thread(self._hear_errors)
        self._reader = FrameReader(self._out, silence)
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
        return self._begin(make).answer.result()

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
                send_frame(self._in, head, b"" if bulk is None else bulk)
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
        self._send(m.encode(m.Open(protocol=m.PROTOCOL, propolis=__version__, path=path, place=place)))
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
            raise LostError("the server fell silent", opened=self._opened) from None
        except (BrokenFrame, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._nonsense(str(error)) from None
        except OSError as error:
            raise LostError(f"the connection broke off: {error.strerror}", opened=self._opened) from None
        code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._program.wait(_END)
        self._hearing.join(_END)
        text = printable_lines(bytes(self._errors))
        raise LostError("the connection ended", code, text, opened=self._opened)

    def _nonsense(self, why: str) -> LostError:
        return LostError(f"{UNREADABLE}: {printable(why)}", opened=self._opened)

    def _listen(self) -> None:
        try:
            while True:
                self._hear(self._next())
        except LostError as error:
            self._lose(error)
        except PropolisError as error:
            self._lose(error)

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

    def _hear_errors(self) -> None:
        assert self._program.stderr is not None
        with self._program.stderr as errors:
            while more := errors.read(_STDERR):
                self._errors += more
                del self._errors[:-_STDERR]

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
        # At the end of its input it ends by itself, and leaves nothing half done.
        if sending or self._sending.acquire(timeout=_END):
            with contextlib.suppress(OSError):
                self._input.close()
            if not sending:
                self._sending.release()
        try:
            self._program.wait(_END)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()

    def _beat(self) -> None:
        while not self._ended.wait(m.BEAT):
            if time.monotonic() - self._sent_at > m.BEAT and self._sending.acquire(blocking=False):
                # Not `_send`: that would wait for whoever sends, and the listener notices an end anyway.
                try:
                    if self.lost is None:
                        send_frame(self._in, m.encode(Beat()))
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


def printable_lines(data: bytes) -> str:
    """What a program wrote, line by line, safe to print."""
    lines = (printable(line) for line in data.decode(errors="replace").splitlines())
    return "\n".join(line for line in lines if line)
