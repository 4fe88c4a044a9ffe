"""Fetches large objects of a bucket straight into the reader's memory.

obstore hands an object out as bytes of its own, which costs about twice the processor time that receiving it does;
a plain connection receives into the reader's buffer. It is only ever the quick way: whatever is not a whole answer,
in time, is asked of obstore again, which knows how to wait, to try again and to say what is wrong.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import os
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

from propolis.s3.errors import S3_ERRORS

if TYPE_CHECKING:
    import ssl

_VALID = datetime.timedelta(minutes=2)
"""Of a signature, which may stand in a server's log."""
_ENOUGH = 10
"""After so many failures in a row there is no quick way: a proxy, or a policy that wants signed headers."""
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_FAILURES = (OSError, http.client.HTTPException)


class Download:
    """An object that arrives."""

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, size: int) -> None:
        self._connection, self._answer = connection, answer
        self._left = self.size = size

    def fill(self, target: memoryview) -> bool:
        """Receive the next bytes, exactly as many as `target` has; False when they don't come."""
        done = 0
        with contextlib.suppress(*_FAILURES):
            while done < len(target):
                count = self._answer.readinto(target[done:])
                if not count:
                    break
                done += count
        self._left -= done
        return done == len(target)

    def end(self) -> http.client.HTTPConnection | None:
        """The connection, if all was received: else what is left would be taken for the next answer."""
        self._answer.close()
        if not self._left:
            return self._connection
        self._connection.close()
        return None


class Downloads:
    """Connections to one S3 store, used again and again. All methods may be called from any thread."""

    def __init__(self, store: S3Store, *, connect: float, silence: float, ca: Path | None) -> None:
        """`store` signs; `connect` and `silence` are the longest waits (seconds); `ca`: see `Location`."""
        self._store, self._ca = store, ca
        self._connect, self._silence = connect, silence
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._trust: ssl.SSLContext | None = None
        # obstore goes by these variables; a plain connection would not.
        proxied = any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES)
        self._failures = _ENOUGH if proxied else 0

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Download | None]:
        """An object, of which nothing was received yet; None when there is no quick way to it."""
        download = self._request(name) if self._failures < _ENOUGH else None
        try:
            yield download
        finally:
            connection = download.end() if download else None
            if connection is not None:
                with self._lock:
                    self._idle.append(connection)

    def _request(self, name: str) -> Download | None:
        """Ask for an object, on an idle connection while there is one that the server still keeps open."""
        try:
            url = urllib.parse.urlsplit(obstore.sign(self._store, "GET", name, expires_in=_VALID))
        except S3_ERRORS:
            return None
        while (connection := self._take_idle()) is not None:
            with contextlib.suppress(*_FAILURES):  # it was idle for too long
                return self._ask(connection, url)
            connection.close()
        with contextlib.suppress(*_FAILURES):
            return self._ask(self._connected(url), url)
        self._failures += 1
        return None

    def _take_idle(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _ask(self, connection: http.client.HTTPConnection, url: urllib.parse.SplitResult) -> Download | None:
        connection.request("GET", f"{url.path}?{url.query}")
        answer = connection.getresponse()
        if answer.status == http.client.OK and answer.length is not None:
            self._failures = 0
            return Download(connection, answer, answer.length)
        connection.close()
        self._failures += answer.status != http.client.NOT_FOUND
        return None

    def _connected(self, url: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        connection = self._new(url)
        connection.connect()
        connection.sock.settimeout(self._silence)
        return connection

    def _new(self, url: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        host = url.hostname or ""
        if url.scheme == "http":
            return http.client.HTTPConnection(host, url.port, timeout=self._connect)
        import ssl

        with self._lock:
            if self._trust is None:
                self._trust = ssl.create_default_context()
                if self._ca is not None:
                    self._trust.load_verify_locations(self._ca)
        return http.client.HTTPSConnection(host, url.port, timeout=self._connect, context=self._trust)
