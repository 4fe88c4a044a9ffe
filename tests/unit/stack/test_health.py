"""TheHive's own word and a login decide whether it works; that it answers proves nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from propolis.config.schema import TheHiveConfig
from propolis.errors import PreflightError
from propolis.stack.asking import retry
from propolis.stack.thehive import server as thehive
from propolis.stack.thehive.health import health

KEY, PASSWORD = "key-of-a-test", "password-of-a-test"

Answer = tuple[int, str, str]
"""Status, content type, body."""

OK: Answer = (200, "text/plain; charset=utf-8", "Ok")
WARNING: Answer = (200, "text/plain; charset=utf-8", "Warning")
ERROR: Answer = (200, "text/plain; charset=utf-8", "Error")
REFUSED: Answer = (401, "application/json", '{"type": "AuthenticationError"}')
BROKEN: Answer = (500, "application/json", "{}")
PAGE: Answer = (200, "text/html", "<html>the interface</html>")
VERSIONS: Answer = (200, "application/json", json.dumps({"versions": {"TheHive": "4.1.24"}}))


class FakeTheHive:
    """Answers by path; logins are right or wrong as in TheHive, unless a path is told otherwise."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = {"/api/status": VERSIONS, **answers}
        self.asked: list[str] = []
        self.url = ""

    def answer(self, path: str, authorization: str, body: bytes) -> Answer:
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        if path == "/api/v1/user/current":
            return VERSIONS if authorization == f"Bearer {KEY}" else REFUSED
        if path == "/api/v1/login":
            right = json.loads(body) == {"user": "backup@thehive.local", "password": PASSWORD}
            return (201, "application/json", "{}") if right else REFUSED
        return (404, "application/json", "{}")


@contextmanager
def serving(answers: dict[str, Answer]) -> Iterator[FakeTheHive]:
    fake = FakeTheHive(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, kind, text = fake.answer(self.path, self.headers.get("Authorization", ""), body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        fake.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield fake
        finally:
            running.shutdown()
            thread.join()


def config(url: str, **login: object) -> TheHiveConfig:
    return TheHiveConfig.model_validate({"url": url, "config": "/etc/thehive", **login})


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.touch(0o600)
    return file


@pytest.mark.parametrize(
    ("answers", "state", "said"),
    [
        ({"/api/health": OK}, "ok", "Ok"),
        ({"/api/health": (200, "application/json", '"Ok"')}, "ok", "Ok"),
        ({"/api/health": ERROR}, "error", "Error"),
        ({"/api/health": WARNING}, "warning", "Warning"),
        ({"/api/health": BROKEN}, "error", "HTTP 500"),
        ({}, "warning", "no /api/health"),
        ({"/api/health": PAGE}, "warning", "no /api/health"),
        ({"/api/health": REFUSED}, "warning", "no /api/health"),
        ({"/api/status": (404, "application/json", "{}"), "/api/v1/status/public": VERSIONS}, "warning", "no /api/"),
        ({"/api/status": BROKEN}, "error", "HTTP 500"),
    ],
)
def test_the_body_of_its_health_decides_and_not_that_it_answers(
    answers: dict[str, Answer], state: str, said: str
) -> None:
    with serving(answers) as fake:
        found = health(config(fake.url))
    assert (found.state, found.login_refused) == (state, False)
    assert said in found.detail
    assert (found.hint == "") == (state == "ok")
    assert ("thehive.api_key" in found.hint) == ("no /api/health" in found.detail)


@pytest.mark.parametrize(
    ("answers", "right", "state"),
    [
        ({"/api/health": OK}, True, "ok"),
        ({"/api/health": OK}, False, "warning"),
        ({"/api/health": WARNING}, True, "warning"),
        ({"/api/health": ERROR}, True, "error"),
        ({}, True, "ok"),
        ({}, False, "error"),
    ],
)
@pytest.mark.parametrize("way", ["API key", "password"])
def test_a_login_proves_what_its_health_does_not_tell(
    answers: dict[str, Answer], right: bool, state: str, way: str, secret: Path
) -> None:
    secret.write_text((KEY if way == "API key" else PASSWORD) if right else "wrong-secret")
    login: dict[str, object] = {"api_key": {"file": str(secret)}}
    if way == "password":
        login = {"username": "backup@thehive.local", "password": {"file": str(secret)}}
    with serving(answers) as fake:
        found = health(config(fake.url, **login))
    assert found.state == state
    assert found.login_refused == (not right)
    assert secret.read_text() not in found.detail
    assert right or "Correct thehive.api_key" in found.hint


def test_a_login_that_breaks_is_no_refused_one(secret: Path) -> None:
    secret.write_text(KEY)
    with serving({"/api/health": OK, "/api/v1/user/current": BROKEN}) as fake:
        found = health(config(fake.url, api_key={"file": str(secret)}))
    assert (found.state, found.login_refused) == ("error", False)


def test_a_second_factor_is_told(secret: Path) -> None:
    secret.write_text(PASSWORD)
    with serving({"/api/health": OK, "/api/v1/login": (402, "application/json", "{}")}) as fake:
        found = health(config(fake.url, username="someone", password={"file": str(secret)}))
    assert "thehive.api_key" in found.detail


def test_one_way_to_log_in_is_set_and_whole() -> None:
    reference = {"env": "ANYTHING"}
    for wrong in (
        {"username": "a"},
        {"password": reference},
        {"username": "a", "password": reference, "api_key": reference},
    ):
        with pytest.raises(ValidationError):
            config("http://127.0.0.1:9000", **wrong)


def test_what_does_not_answer_at_all_is_an_error_of_its_own() -> None:
    with serving({}) as fake:
        pass
    with pytest.raises(PreflightError, match="does not answer"):
        health(config(fake.url))


def test_thehive_is_waited_for_until_it_says_that_it_works() -> None:
    with serving({"/api/health": ERROR}) as fake:
        timer = threading.Timer(0.5, fake.answers.__setitem__, ("/api/health", OK))
        timer.start()
        assert thehive.answers(config(fake.url), 30).state == "ok"
        timer.join()
        assert fake.asked.count("/api/health") > 1
        assert thehive.facts(config(fake.url)).version == "4.1.24"


def test_one_that_answers_and_never_works_is_given_up_with_its_own_words() -> None:
    with serving({"/api/health": ERROR}) as fake, pytest.raises(PreflightError, match="/api/health: Error"):
        thehive.answers(config(fake.url), 0.1)


def test_a_refused_login_is_final_within_seconds_where_nothing_else_proves_that_it_works(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "REFUSAL_GRACE", 0.6)
    secret.write_text("wrong")
    with serving({}) as fake, pytest.raises(PreflightError, match=r"answers, but .*it refuses the API key"):
        thehive.answers(config(fake.url, api_key={"file": str(secret)}), 600)


def test_a_refused_login_does_not_keep_a_healthy_thehive_down_for_long(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thehive, "REFUSED_LOGIN_PATIENCE", 0.3)
    secret.write_text("wrong")
    with serving({"/api/health": OK}) as fake:
        found = thehive.answers(config(fake.url, api_key={"file": str(secret)}), 600)
    assert found.login_refused
