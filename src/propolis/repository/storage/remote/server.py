"""The far end: serves one folder over two descriptors. Who speaks to it may be hostile, or cut off at any byte."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from pathlib import Path

import msgspec

from propolis import __version__
from propolis.errors import Interrupted, PreflightError, PropolisError, RepositoryError
from propolis.link.frames import BrokenFrame, CutFrame, FrameReader, send_frame
from propolis.link.messages import Beat
from propolis.repository.io import direct
from propolis.repository.storage.arriving import Arriving
from propolis.repository.storage.base import checked_name
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.storage.kinds import RESERVE
from propolis.repository.storage.remote import messages as m
from propolis.repository.storage.remote.errors import RefusedError, printable, told
from propolis.repository.storage.remote.paging import page
from propolis.repository.storage.remote.rights import Rights

_WORKERS = 8
_REDUCED = 256
"""Most characters of what a client calls the repository."""


class BrokenProtocol(Exception):
    """The client says what no client says."""


class Server:
    """One connection's server. `run` returns at the end of file."""

    def __init__(self, root: Path, source: int, sink: int, *, append_only: bool) -> None:
        self._root, self._append_only = root, append_only
        self._reader = FrameReader(source, 2 * m.SILENCE)
        self._sink = sink
        self._sending = threading.Lock()
        self._storage = FolderStorage(root)
        self._rights = Rights(self._storage, append_only=append_only)
        self._arriving: dict[int, Arriving] = {}
        self._refused: dict[int, int] = {}
        """Objects that were refused, and how many of their bytes may still come."""
        self._waiting = 0
        self._counting = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[m.Request, Arriving | None] | None] = queue.SimpleQueue()
        self._ended = threading.Event()

    def run(self) -> None:
        """Serve until the client is gone. Raises `PropolisError` when it was refused, or says what no client says."""
        threads: list[threading.Thread] = []
        try:
            if not self._greet():
                return
            threads += [threading.Thread(target=self._work, name="serve", daemon=True) for _ in range(_WORKERS)]
            threads.append(threading.Thread(target=self._beat, name="beat", daemon=True))
            for thread in threads:
                thread.start()
            while (payload := self._reader.next()) is not None:
                self._take(payload)
        except CutFrame:
            return  # so is the client
        except (BrokenFrame, BrokenProtocol) as error:
            self._fail(RepositoryError(f"The client sent what can't be understood: {error}"))
            raise RepositoryError(
                f"The client sent what can't be understood: {error}", left="The repository was left as it is"
            ) from None
        except Interrupted:
            raise  # it is started again by whoever still needs it
        except PropolisError as error:
            self._fail(error)
            raise
        except OSError:
            return  # the client is gone
        finally:
            self._ended.set()
            for _ in range(_WORKERS):
                self._jobs.put(None)
            for arriving in self._arriving.values():
                arriving.drop()
            # What came whole is stored; nothing else is left behind.
            for thread in threads:
                thread.join()

    def _greet(self) -> bool:
        payload = self._reader.next()
        if payload is None:
            return False
        opened = self._decode(payload)
        if not isinstance(opened, m.Open):
            raise BrokenProtocol("it doesn't begin as it should")
        if opened.protocol != m.PROTOCOL:
            raise PreflightError(
                f"Propolis {printable(opened.propolis)[:40]} can't use a repository that Propolis {__version__} "
                "serves: they speak different versions of the protocol",
                left="Nothing was changed",
                next="Install the same version on both hosts",
            )
        if os.path.normpath(opened.path) != os.path.normpath(self._root):
            raise RefusedError(
                f"The server keeps its repository in {self._root}, not in {printable(opened.path)}",
                left="Nothing was changed",
                next=f"Write the URL with the path {self._root}",
            )
        self._storage = FolderStorage(self._root, printable(opened.place)[:_REDUCED])
        self._rights = Rights(self._storage, append_only=self._append_only)
        self._send(m.Opened(protocol=m.PROTOCOL, propolis=__version__, append_only=self._append_only))
        return True

    def _decode(self, payload: memoryview) -> m.ToServer:
        try:
            return m.decode_to_server(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BrokenProtocol(str(error)) from None

    # -- what comes ------------------------------------------------------------------------------------------

    def _take(self, payload: memoryview) -> None:
        message = self._decode(payload)
        match message:
            case Beat():
                return
            case m.Piece():
                self._piece(message)
            case m.Stop():
                self._refused.pop(message.id, None)
                arriving = self._arriving.pop(message.id, None)
                if arriving is not None:
                    arriving.drop()
                    self._done_waiting()
            case m.Put():
                self._begin(message)
            case m.Open():
                raise BrokenProtocol("it opens twice")
            case _:
                self._wait_for(message)
                self._jobs.put((message, None))

    def _wait_for(self, request: m.Request) -> None:
        with self._counting:
            self._waiting += 1
            if self._waiting > m.REQUESTS:
                raise BrokenProtocol("too many requests at a time")

    def _done_waiting(self) -> None:
        with self._counting:
            self._waiting -= 1

    def _begin(self, put: m.Put) -> None:
        if put.id in self._arriving or put.id in self._refused:
            raise BrokenProtocol("an ID comes twice")
        if len(self._arriving) >= m.PUTS:
            raise BrokenProtocol("too many objects at a time")
        self._wait_for(put)
        try:
            self._rights.put(put.name, put.size)
            arriving = Arriving(self._storage, put.name, put.size, create=put.create, keep=self._append_only)
        except Interrupted:  # of this server, whose client tries again at another one: no answer to its request
            raise
        except PropolisError as error:
            self._refuse(put.id, max(put.size, 0), error)
            return
        if put.size:
            self._arriving[put.id] = arriving
        else:
            self._jobs.put((put, arriving))

    def _refuse(self, id: int, size: int, error: PropolisError) -> None:
        """Answer at once; what the client has sent meanwhile is ignored until it has heard that."""
        if size:
            self._refused[id] = size
            if len(self._refused) > m.REQUESTS:
                raise BrokenProtocol("too many refused objects at a time")
        self._done_waiting()
        self._send(told(error, id))

    def _piece(self, piece: m.Piece) -> None:
        if piece.id in self._refused:
            self._refused[piece.id] -= len(piece.data)
            if self._refused[piece.id] <= 0:
                del self._refused[piece.id]
            return
        arriving = self._arriving.get(piece.id)
        if arriving is None or not piece.data:
            raise BrokenProtocol("bytes of nothing")
        try:
            arriving.add(piece.data)
        except ValueError as error:
            raise BrokenProtocol(str(error)) from None
        except Interrupted:
            raise
        except PropolisError as error:
            del self._arriving[piece.id]
            arriving.drop()
            self._refuse(piece.id, arriving.missing, error)
            return
        if not arriving.missing:
            del self._arriving[piece.id]
            self._jobs.put((piece, arriving))

    # -- what is done ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        buffer = direct.buffer(m.READ_MOST)
        while (job := self._jobs.get()) is not None:
            request, arriving = job
            try:
                if arriving is not None:
                    arriving.finish()
                    answer: m.FromServer = m.Done(id=request.id)
                else:
                    answer = self._answer(request, buffer)
            except PropolisError as error:
                answer = told(error, request.id)
            except OSError as error:
                answer = told(self._storage.failed("be used", error), request.id)
            except Exception as error:  # whoever asked must not wait for ever
                what = f"Unexpected {type(error).__name__} at the server of {self._storage.place}: {error}"
                answer = told(RepositoryError(what, next="Please report it"), request.id)
            self._done_waiting()
            with contextlib.suppress(OSError):  # the client is gone: the reader notices
                self._send(answer)

    def _answer(self, request: m.Request, buffer: memoryview) -> m.FromServer:
        storage, rights = self._storage, self._rights
        match request:
            case m.Read():
                rights.read(request.name)
                return self._read(request, buffer)
            case m.Size():
                rights.read(request.name)
                return m.Done(id=request.id, size=storage.size(request.name))
            case m.List():
                rights.list(request.prefix)
                if request.after:
                    checked_name(request.after)
                storage.require_there()
                objects, more = page(self._root, request.prefix, request.after)
                return m.Page(id=request.id, objects=objects, more=more)
            case m.Delete():
                rights.delete(request.name)
                storage.delete(request.name)
            case m.Flush():
                for folder in request.folders:
                    rights.list(folder)
                storage.sync_folders(request.folders)
            case m.Prepare():
                storage.prepare()
            case m.Allocate():
                rights.allocate(request.size)
                storage.allocate(RESERVE, request.size)
            case m.Room():
                rights.allocate(request.size)
                return m.Done(id=request.id, yes=storage.has_room(request.size))
        return m.Done(id=request.id)

    def _read(self, request: m.Read, buffer: memoryview) -> m.Done:
        if not (request.start >= 0 and 0 <= request.count <= m.READ_MOST):
            raise RefusedError("More bytes were asked for than are read at once")
        count, size, version = self._storage.read_part(request.name, buffer, request.start, request.count)
        for offset in range(0, count, m.BULK):
            bulk = buffer[offset : min(offset + m.BULK, count)]
            with self._sending:
                send_frame(self._sink, m.piece_head(request.id, len(bulk)), bulk)
        return m.Done(id=request.id, size=size, version=version)

    # -- what is said ----------------------------------------------------------------------------------------

    def _send(self, message: m.FromServer) -> None:
        with self._sending:
            send_frame(self._sink, m.encode(message))

    def _fail(self, error: PropolisError) -> None:
        with contextlib.suppress(OSError):
            self._send(told(error, None))

    def _beat(self) -> None:
        while not self._ended.wait(m.BEAT):
            if self._sending.acquire(blocking=False):
                try:
                    send_frame(self._sink, m.encode(Beat()))
                except OSError:
                    return
                finally:
                    self._sending.release()


def serve(root: Path, *, append_only: bool) -> None:
    """Serve a folder over standard input and output, which belong to the protocol alone."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(2, 1)
    Server(root, source, sink, append_only=append_only).run()
