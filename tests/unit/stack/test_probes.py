"""Probes tell clearly why nothing answers; a real little HTTP server or a closed port stands at the other end."""

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cassandra import AuthenticationFailed, Unauthorized

from propolis.config.fields import SecretRef
from propolis.config.schema import CassandraConfig, ElasticsearchConfig, TheHiveConfig
from propolis.errors import PreflightError
from propolis.stack.asking import retry
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.asking.retry import NotYet, Refused, until
from propolis.stack.database import server as database
from propolis.stack.database import session as cql
from propolis.stack.index import server as index
from propolis.stack.thehive import server as thehive

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, str, bytes]]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """A real HTTP server on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answer(self)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # joined at the end: what one says of a client that has gone belongs to this test

    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}"
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens while the test runs."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def as_json(document: object, status: int = 200) -> Answer:
    return lambda _: (status, "application/json", json.dumps(document).encode())


def get(url: str, **options: object) -> object:
    with HttpClient(url, timeout=2.0, **options) as client:  # type: ignore[arg-type]
        return client.get("/x")


def test_an_answer_is_decoded() -> None:
    with server(as_json({"a": [1]})) as url:
        assert get(url) == {"a": [1]}


def test_a_login_is_sent_and_a_base_path_kept() -> None:
    seen: list[tuple[str, str | None]] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        seen.append((request.path, request.headers["Authorization"]))
        return 200, "application/json", b"{}"

    with server(answer) as url:
        get(f"{url}/base", login=("user", "pass:word"))
    ((path, login),) = seen
    assert path == "/base/x"
    assert login is not None
    assert base64.b64decode(login.removeprefix("Basic ")) == b"user:pass:word"


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (as_json({}, 503), "HTTP 503"),
        (as_json({}, 401), "refuses the login"),
        (as_json({}, 302), "HTTP 302"),
        (lambda _: (200, "application/json", b"{broken"), "its answer is not JSON"),
    ],
)
def test_a_bad_answer_is_a_clear_failure(answer: Answer, what: str) -> None:
    with server(answer) as url, pytest.raises(HttpFailure, match=what):
        get(url)


def test_a_closed_port_and_an_unknown_name_are_clear_failures(closed_port: int) -> None:
    with pytest.raises(HttpFailure, match="Connection refused"):
        get(f"http://127.0.0.1:{closed_port}")
    with pytest.raises(HttpFailure, match="no connection"):
        get("http://nobody.invalid:9")


def test_a_plain_server_is_not_taken_for_a_secure_one() -> None:
    with server(as_json({})) as url, pytest.raises(HttpFailure, match="secure connection"):
        get(url.replace("http:", "https:"))


def test_a_silent_server_is_given_up() -> None:
    release = threading.Event()

    def answer(_: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        release.wait(30)
        return 200, "application/json", b"{}"

    with server(answer) as url:
        with pytest.raises(HttpFailure, match="no answer in time"), HttpClient(url, timeout=0.2) as client:
            client.get("/")
        release.set()


def test_what_does_not_answer_in_time_is_named_with_its_last_state(closed_port: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    with pytest.raises(PreflightError, match=rf"TheHive at {url} did not answer.*Connection refused"):
        thehive.answers(TheHiveConfig(url=url, config=tmp_path), 0.1)
    config = ElasticsearchConfig(url=url, config=tmp_path, data=tmp_path)
    with pytest.raises(PreflightError, match=rf"The index at {url} did not answer.*Connection refused"):
        index.answers(config, "thehive", 0.1)
    with pytest.raises(PreflightError, match=rf"The index at {url} does not answer"):
        index.facts(config, "thehive")


def test_cassandra_that_does_not_answer_is_named_and_the_password_is_not(
    closed_port: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cret-pw")
    config = CassandraConfig(
        host="127.0.0.1",
        port=closed_port,
        username="thehive",
        password=SecretRef(env="DB_PASSWORD"),
        cluster_name="thp",
        config=tmp_path,
        data=(tmp_path,),
        commitlog=tmp_path,
        hints=tmp_path,
        saved_caches=tmp_path,
    )
    with pytest.raises(PreflightError, match=rf"127\.0\.0\.1:{closed_port} did not answer.*refused") as caught:
        database.answers(config, 0.1)
    assert "s3cret-pw" not in str(caught.value)
    with pytest.raises(PreflightError, match="can't be resolved"):
        database.facts(config.model_copy(update={"host": "nobody.invalid"}))
    output = capfd.readouterr()
    assert output.out + output.err == ""


def test_waiting_tries_at_least_once_and_lets_other_errors_through() -> None:
    tried: list[float] = []

    def never(left: float) -> None:
        tried.append(left)
        raise NotYet("still loading")

    with pytest.raises(PreflightError, match="It did not answer within 0 s: still loading"):
        until(never, "It", 0)
    assert len(tried) == 1

    def broken(left: float) -> None:
        raise ValueError("other")

    with pytest.raises(ValueError, match="other"):
        until(broken, "It", 10)


def test_a_refused_login_is_final_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "REFUSAL_GRACE", 0.6)
    tried: list[float] = []

    def refused(left: float) -> None:
        tried.append(left)
        raise Refused("it refuses the login of thehive")

    with pytest.raises(PreflightError, match="It answers, but it refuses the login of thehive"):
        until(refused, "It", 600)
    assert len(tried) > 1, "right after a start users may be read late"


def test_a_login_that_is_refused_for_a_moment_only_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "REFUSAL_GRACE", 0.6)
    states = [Refused("no"), Refused("no"), NotYet("loading"), Refused("no"), Refused("no")]

    def attempt(left: float) -> None:
        if states:
            raise states.pop(0)

    until(attempt, "It", 600)
    assert states == []


@pytest.mark.parametrize(("status", "what"), [(401, "answers, but"), (403, "lacks a permission")])
def test_an_index_that_refuses_the_login_is_not_waited_for(
    status: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "REFUSAL_GRACE", 0.3)
    with server(as_json({}, status)) as url, pytest.raises(PreflightError, match=what):
        index.answers(ElasticsearchConfig(url=url, config=tmp_path, data=tmp_path), "thehive", 600)


def test_what_cassandra_says_of_a_login_decides_whether_it_is_final() -> None:
    wrong = AuthenticationFailed(
        'code=0100 [Bad credentials] message="Provided username a and/or password are incorrect"'
    )
    unread = AuthenticationFailed(
        'code=0100 [Bad credentials] message="Unable to perform authentication: Cannot achieve consistency level"'
    )
    assert isinstance(cql.cause([wrong], "a"), Refused)
    assert not isinstance(cql.cause([unread], "a"), Refused)
    assert isinstance(cql.cause([Unauthorized("no")], "a"), Refused)
