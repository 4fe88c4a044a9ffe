"""Repositories served by this host, through the very code that a host behind SSH runs: by a process, or a thread."""

import contextlib
import os
import queue
import sys
import threading
import time
from pathlib import Path

from propolis.errors import PropolisError
from propolis.repository import Location
from propolis.repository.storage.remote.client import RemoteStorage
from propolis.repository.storage.remote.server import Server
from propolis.s3.endpoint import Patience

_PIECE = 1 << 16
HASTY = Patience(retries=3, first_wait=0.01, longest_wait=0.05)


def served(folder: Path, *options: str) -> Location:
    """A repository in a folder, served by a process of its own; with `--maintenance` unless told otherwise."""
    command = (sys.executable, "-m", "propolis", "repository", "serve", *(options or ("--maintenance",)), str(folder))
    return Location(f"ssh://backup.example{folder}", command=command)


class Far:
    """A far end that is a thread: `propolis.repository.storage.remote.connection.Far`."""

    def __init__(self) -> None:
        self.source, self.stdin = os.pipe()
        self.stdout, self.sink = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        """What the far end does."""
        raise NotImplementedError

    def told(self) -> str:
        return ""

    def exit_code(self) -> int | None:
        return 255  # as ssh does when the connection is cut

    def end(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.stdin)
        self.stdin = -1
        self.thread.join(10)

    def kill(self) -> None:
        """Threads can't be killed; but it sees the same as if the connection was cut."""

    def _run(self) -> None:
        try:
            self.serve()
        finally:
            os.close(self.sink)
            os.close(self.source)

    def __del__(self) -> None:
        for file in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                os.close(file)


class Serving(Far):
    """The real server."""

    def __init__(self, folder: Path, *, append_only: bool = False) -> None:
        self.folder, self.append_only = folder, append_only
        super().__init__()

    def serve(self) -> None:
        with contextlib.suppress(PropolisError):
            Server(self.folder, self.source, self.sink, append_only=self.append_only).run()


def remote(folder: Path, *, append_only: bool = False, path: str = "") -> RemoteStorage:
    """A storage over a connection to a thread."""
    url = f"ssh://backup.example{folder}"
    return RemoteStorage(lambda: Serving(folder, append_only=append_only), path or str(folder), url, HASTY)


class Cut(Serving):
    """The real server, over a connection that is cut after so many bytes to it, or from it."""

    def __init__(self, folder: Path, *, sent: int | None = None, received: int | None = None) -> None:
        super().__init__(folder)
        near_in, self.stdin = os.pipe(), self.stdin
        near_out, far_out = os.pipe(), self.stdout
        far_in, self.stdin = self.stdin, near_in[1]
        self.stdout = near_out[0]
        self._pump(near_in[0], far_in, sent)
        self._pump(far_out, near_out[1], received)

    @staticmethod
    def _pump(source: int, target: int, most: int | None) -> None:
        def run() -> None:
            left = most
            with contextlib.suppress(OSError):
                while (left is None or left > 0) and (data := os.read(source, min(left or _PIECE, _PIECE))):
                    if left is not None:
                        left -= len(data)
                    while data:
                        data = data[os.write(target, data) :]
            for file in (source, target):
                os.close(file)

        threading.Thread(target=run, daemon=True).start()


class Slow(Serving):
    """The real server, whose every answer is on its way for a while."""

    seconds = 0.02

    def serve(self) -> None:
        inner, self.sink, outer = *os.pipe(), self.sink
        arriving: queue.SimpleQueue[tuple[float, bytes] | None] = queue.SimpleQueue()

        def take() -> None:
            while data := os.read(inner, _PIECE):
                arriving.put((time.monotonic() + self.seconds, data))
            arriving.put(None)

        def give() -> None:
            while (found := arriving.get()) is not None:
                when, data = found
                time.sleep(max(0.0, when - time.monotonic()))
                with contextlib.suppress(OSError):
                    while data:
                        data = data[os.write(outer, data) :]
            os.close(outer)
            os.close(inner)

        for run in (take, give):
            threading.Thread(target=run, daemon=True).start()
        super().serve()
