"""Faults between Propolis and an S3 store: of the connection through toxiproxy, of the server through a relay."""

import http.client
import http.server
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from integration.repository.s3_lab import free_port, signed, started
from propolis_lab import http as plain_http
from propolis_lab.programs import go
from propolis_lab.servers.minio import S3Server


@dataclass(frozen=True)
class Connection:
    """A proxy of toxiproxy's between a client and a store."""

    api: str
    endpoint: str
    """Where the client finds the store, through the proxy."""

    def poison(self, kind: str, stream: str = "downstream", share: float = 1.0, **attributes: int) -> None:
        """Add a fault to a share of the connections; see toxiproxy's README for kinds and attributes."""
        self._ask(
            "/proxies/store/toxics",
            {"type": kind, "stream": stream, "toxicity": share, "attributes": attributes, "name": f"{kind}-{stream}"},
        )

    def cut(self) -> None:
        """End all connections and take no new ones."""
        self._ask("/proxies/store", {"enabled": False})

    def heal(self) -> None:
        """Remove all faults."""
        self._ask("/reset", {})

    def _ask(self, path: str, data: object) -> None:
        answer = plain_http.request("POST", self.api + path, data=data, timeout=30)
        assert answer.status < 300, answer.text


@contextmanager
def connection(store: str) -> Iterator[Connection]:
    """A healthy proxy before a store's endpoint."""
    port, own = free_port(), free_port()
    command = [str(go.build(go.TOXIPROXY)), "-host", "127.0.0.1", "-port", str(port)]
    with started(command, {"LOG_LEVEL": "error"}, port):
        proxy = Connection(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{own}")
        upstream = urllib.parse.urlsplit(store).netloc
        listen = f"127.0.0.1:{own}"
        proxy._ask("/proxies", {"name": "store", "listen": listen, "upstream": upstream, "enabled": True})
        yield proxy


@dataclass(frozen=True)
class Fault:
    """What the relay does to one request."""

    status: int | None
    """Answer this; None: end the connection without an answer."""
    reaches_the_store: bool
    """The request is carried out all the same, and its answer is lost."""
    keeps: int = 0
    """So many bytes of the true answer's body are not lost; then the connection ends. For requests that reach it."""


Headers = list[tuple[str, str]]
Choose = Callable[[str, str], Fault | None]
"""A method and a path → what goes wrong."""


@dataclass
class Relay:
    """An HTTP server that hands every request to a store, but for those chosen to fail."""

    endpoint: str
    choose: Choose
    faults: int = 0


@contextmanager
def relay(store: str, careless: S3Server | None = None) -> Iterator[Relay]:
    """A healthy relay before a store's endpoint.

    With `careless`, the same store, objects that were only to be created are overwritten, as by servers that ignore
    `If-None-Match`.
    """
    upstream = urllib.parse.urlsplit(store)
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                fault = running.choose(self.command, self.path)
                running.faults += fault is not None
            if fault is None or fault.reaches_the_store:
                status, headers, content = self._ask(body)
                if careless is not None and status == http.HTTPStatus.PRECONDITION_FAILED:
                    # The condition is part of what was signed, so it can't just be left out of the request.
                    answer = signed(careless, "PUT", urllib.parse.urlsplit(self.path).path, "", body)
                    assert answer.status == http.HTTPStatus.OK, answer.text
                    status, headers, content = answer.status, [("ETag", '"0"')], b""
            if fault is not None and fault.keeps:
                self._answer(status, headers, content[: fault.keeps], len(content))
                self.close_connection = True
                return
            if fault is not None:
                if fault.status is None:
                    self.close_connection = True
                    return
                status, headers = fault.status, [("Content-Type", "application/xml")]
                content = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
            length = dict(headers).get("Content-Length") if self.command == "HEAD" and fault is None else len(content)
            self._answer(status, headers, content, length)

        def _answer(self, status: int, headers: Headers, content: bytes, length: object) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _ask(self, body: bytes) -> tuple[int, Headers, bytes]:
            # The signature covers the name of the host that the client knows: it is passed on as it is.
            client = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
            try:
                client.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    client.putheader(name, value)
                client.endheaders(body)
                answer = client.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                client.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is told."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Relay(f"http://127.0.0.1:{server.server_address[1]}", lambda method, path: None)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
