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

from propolis.config.schema import CassandraConfig, ElasticsearchConfig
from propolis.errors import PreflightError
from propolis.stack.asking import retry
from propolis.stack.database import roles, server
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
            return 200, {"status": "green", "number_of_nodes": 3, "indices": {}}
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


def give(fake: FakeIndex, known: str, nodes: int = 1) -> None:
    config = ElasticsearchConfig(url=fake.url, config=Path("/etc/index"), data=Path("/var/lib/index"), nodes=nodes)
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


def test_in_a_cluster_another_host_may_have_been_first() -> None:
    with serving(FakeIndex("elasticsearch")) as fake:
        give(fake, OLD, nodes=3)
        give(fake, OLD, nodes=3)
        assert fake.password == NEW


def test_in_a_cluster_a_password_that_neither_was_nor_is_to_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "REFUSAL_GRACE", 0.1)
    with serving(FakeIndex("elasticsearch")) as fake, pytest.raises(PreflightError, match="refuses the login"):
        fake.password = "another"
        give(fake, OLD, nodes=3)


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("given", [True, False])
def test_a_role_that_another_host_was_given_the_password_of_is_left_alone(
    sample_database: CassandraConfig, monkeypatch: pytest.MonkeyPatch, nodes: int, given: bool
) -> None:
    asked: list[str] = []

    def refuse(config: CassandraConfig, login: object, statements: object) -> None:
        raise PreflightError("it refuses the login of thehive")

    def agrees(config: CassandraConfig, timeout: float, login: tuple[str, str]) -> None:
        asked.append(login[1])
        if not given:
            raise PreflightError("it refuses the new login, too")

    monkeypatch.setattr(server, "run", refuse)
    monkeypatch.setattr(server, "agrees", agrees)
    config = sample_database.model_copy(update={"nodes": nodes})
    if nodes == 3 and given:
        roles.give_role(config, ("thehive", OLD), ("thehive", NEW))
    else:
        with pytest.raises(PreflightError, match="login of thehive"):
            roles.give_role(config, ("thehive", OLD), ("thehive", NEW))
    assert asked == ([NEW] if nodes == 3 else [])


@pytest.fixture
def sample_database() -> CassandraConfig:
    place = Path("/var/lib/cassandra")
    return CassandraConfig(
        host="127.0.0.1", cluster_name="thp", config=place, data=(place,), commitlog=place, hints=place,
        saved_caches=place,
    )  # fmt: skip


def test_names_and_passwords_of_roles_are_written_so_that_cassandra_reads_them_back() -> None:
    assert roles._identifier('hive"s; DROP') == '"hive""s; DROP"'
    assert roles._literal("it's'; DROP ROLE x; --") == "'it''s''; DROP ROLE x; --'"
