"""Users of the index get another password the way its make has it; a little server stands at the other end."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

from propolis.config.schema import ElasticsearchConfig
from propolis.errors import PreflightError
from propolis.stack.database import roles
from propolis.stack.index import users

Make = Literal["elasticsearch", "opensearch"]
OLD, NEW = "the old, long one", "the new, long one"


class FakeIndex:
    """One user with a password, which it may change itself."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.password = OLD
        self.refuses = 0
        self.url = ""

    def answer(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, object]:
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (user, password) != ("hive user", self.password):
            return 401, {"error": "unable to authenticate"}
        if path.startswith("/_cluster/health"):
            return 200, {"status": "green", "indices": {}}
        if "_count" in path:
            return 200, {"count": 0, "_shards": {"failed": 0}}
        if self.refuses:
            return self.refuses, {"error": "passwords must be longer"}
        given = json.loads(body)
        if (method, path) == ("POST", "/_security/user/hive%20user/_password"):
            if self.make == "opensearch":
                return 400, {"error": f"no handler found for uri [{path}] and method [POST]"}
            self.password = given["password"]
            return 200, {}
        if (method, path) == ("PUT", "/_plugins/_security/api/account") and self.make == "opensearch":
            assert given["current_password"] == self.password
            self.password = given["password"]
            return 200, {"status": "OK"}
        return 404, {}


@contextmanager
def serving(fake: FakeIndex) -> Iterator[FakeIndex]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = fake.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_PUT = do_GET

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


def give(fake: FakeIndex, known: str) -> None:
    config = ElasticsearchConfig(url=fake.url, config=Path("/etc/index"), data=Path("/var/lib/index"))
    users.give_user(config, "thehive", ("hive user", known), ("hive user", NEW))


@pytest.mark.parametrize("make", ["elasticsearch", "opensearch"])
def test_a_user_gets_another_password_and_can_log_in_with_it(make: Make) -> None:
    with serving(FakeIndex(make)) as fake:
        give(fake, OLD)
    assert fake.password == NEW


@pytest.mark.parametrize("make", ["elasticsearch", "opensearch"])
@pytest.mark.parametrize(("refuses", "known"), [(400, OLD), (403, OLD), (0, "wrong")])
def test_a_refusal_is_told_without_any_password(make: Make, refuses: int, known: str) -> None:
    fake = FakeIndex(make)
    fake.refuses = refuses
    with serving(fake), pytest.raises(PreflightError, match="hive user") as caught:
        give(fake, known)
    for secret in (OLD, NEW):
        assert secret not in str(caught.value)


def test_names_and_passwords_of_roles_are_written_so_that_cassandra_reads_them_back() -> None:
    assert roles._identifier('hive"s; DROP') == '"hive""s; DROP"'
    assert roles._literal("it's'; DROP ROLE x; --") == "'it''s''; DROP ROLE x; --'"
