"""A node of a cluster answers for itself; that its whole cluster is there is another question."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from cassandra import AuthenticationFailed, ConsistencyLevel, Unavailable

from propolis.checks import rules_of
from propolis.config.schema import CassandraConfig, Config, ElasticsearchConfig
from propolis.errors import PreflightError
from propolis.stack.cluster import clusters, members, require_alone
from propolis.stack.database import server as database
from propolis.stack.database import session as cql
from propolis.stack.database.session import OthersMissing
from propolis.stack.index import server as index
from propolis.stack.rules import Check, counted
from unit.checks.stacks import config_in, look_at
from unit.stack.test_probes import server

SCHEMA = UUID(int=99)


def nodes_of(config: Config, count: int) -> Config:
    """The same stack, with clusters of so many nodes."""
    assert config.cassandra is not None
    assert config.elasticsearch is not None
    return config.model_copy(
        update={
            "database": config.cassandra.model_copy(update={"nodes": count}),
            "index": config.elasticsearch.model_copy(update={"nodes": count}),
        }
    )


class Node:
    """A node of Cassandra that sees others: as much of a session as is asked."""

    def __init__(self, peers: int, *, schema: UUID = SCHEMA, others_serve: bool = True) -> None:
        self.peers = [
            SimpleNamespace(
                peer=f"10.0.0.{number}",
                host_id=UUID(int=number),
                data_center="dc1",
                release_version="4.1.10",
                schema_version=schema,
            )
            for number in range(2, 2 + peers)
        ]
        self.others_serve = others_serve
        self.read_at_all: list[str] = []

    def execute(self, query: Any, values: Any = None) -> list[Any]:
        text = getattr(query, "query_string", query)
        if "system.local" in text:
            return [
                SimpleNamespace(
                    host_id=UUID(int=1),
                    schema_version=SCHEMA,
                    bootstrapped="COMPLETED",
                    tokens=["1"],
                    broadcast_address="10.0.0.1",
                    listen_address="10.0.0.1",
                    data_center="dc1",
                    release_version="4.1.10",
                )
            ]
        if "peers_v2" in text:
            return self.peers
        if "gossip_info" in text:
            from cassandra import InvalidRequest

            raise InvalidRequest("no such table before 5.0")
        if "system_schema.tables" in text:
            return [SimpleNamespace(table_name="system_properties")]
        assert query.consistency_level == ConsistencyLevel.ALL
        self.read_at_all.append(text)
        if not self.others_serve:
            raise Unavailable("Unavailable", ConsistencyLevel.ALL, 3, 1)
        return [SimpleNamespace(key=b"x")]


@pytest.fixture
def seen_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Node], None]:
    """Let this node be the one that is asked."""

    def asked(node: Node) -> None:
        @contextmanager
        def opened(config: CassandraConfig, login: object, timeout: float) -> Iterator[Node]:
            try:
                yield node
            except Unavailable as error:
                raise cql.cause([error], "") from None

        monkeypatch.setattr(database, "opened", opened)

    return asked


@pytest.fixture
def cassandra(tmp_path: Path) -> CassandraConfig:
    config = nodes_of(config_in(tmp_path), 3).cassandra
    assert config is not None
    return config.model_copy(update={"username": None, "password": None})


def test_a_node_answers_for_itself_whatever_the_others_do(
    cassandra: CassandraConfig, seen_by: Callable[[Node], None]
) -> None:
    alone = Node(0, others_serve=False)
    seen_by(alone)
    database.answers(cassandra, 0.1)
    assert alone.read_at_all == []
    with pytest.raises(PreflightError, match="not every replica answers"):
        database.answers(cassandra.model_copy(update={"nodes": 1}), 0.1)


def test_a_node_that_can_not_read_its_roles_without_others_serves_all_the_same(
    cassandra: CassandraConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 4.1 puts it when `system_auth` has three copies and two of the nodes are down."""
    error = AuthenticationFailed(
        "Failed to authenticate to 127.0.0.1:9042: Error from server: code=0100 [Bad credentials] "
        'message="Unable to perform authentication: Cannot achieve consistency level LOCAL_QUORUM"'
    )

    @contextmanager
    def opened(config: CassandraConfig, login: object, timeout: float) -> Iterator[Node]:
        raise cql.cause([error], "thehive")
        yield

    monkeypatch.setattr(database, "opened", opened)
    database.answers(cassandra, 0.1)
    for question in (
        database.agrees,
        lambda config, time: database.answers(config.model_copy(update={"nodes": 1}), time),
    ):
        with pytest.raises(PreflightError, match="roles can't be read while other nodes are down"):
            question(cassandra, 0.1)


def test_a_refused_login_and_one_that_is_not_read_yet_are_no_answer() -> None:
    for text in ("Bad credentials", "Unable to perform authentication: Operation timed out"):
        assert not isinstance(cql.cause([AuthenticationFailed(text)], "thehive"), OthersMissing)


@pytest.mark.parametrize(
    ("node", "missing"),
    [
        (Node(1), r"it sees 2 of the 3 nodes of its cluster \(10\.0\.0\.1, 10\.0\.0\.2\)"),
        (Node(5), r"it sees 6 of the 3 nodes"),
        (Node(2, schema=UUID(int=98)), "don't agree on the schema"),
        (Node(2, others_serve=False), "not every replica answers"),
    ],
)
def test_a_cluster_agrees_only_as_a_whole(
    cassandra: CassandraConfig, seen_by: Callable[[Node], None], node: Node, missing: str
) -> None:
    seen_by(node)
    with pytest.raises(PreflightError, match=missing):
        database.agrees(cassandra, 0.1)


def test_agreement_takes_an_answer_from_every_node(
    cassandra: CassandraConfig, seen_by: Callable[[Node], None]
) -> None:
    """One row would be of one node where there is one copy."""
    node = Node(2)
    seen_by(node)
    database.agrees(cassandra, 0.1)
    (query,) = node.read_at_all
    assert "LIMIT" not in query


def answering(status: int, body: object) -> Callable[[BaseHTTPRequestHandler], tuple[int, str, bytes]]:
    return lambda _: (status, "application/json", json.dumps(body).encode())


def index_at(url: str, tmp_path: Path) -> ElasticsearchConfig:
    return ElasticsearchConfig(url=url, config=tmp_path, data=tmp_path, nodes=3)


@pytest.mark.parametrize("status", [200, 401, 503])
def test_an_index_node_without_a_master_answers_for_itself(tmp_path: Path, status: int) -> None:
    with server(answering(status, {"nodes": {"n1": {}}})) as url:
        index.answers(index_at(url, tmp_path), "thehive", 0.1)


def test_an_index_that_has_not_elected_a_master_does_not_agree(tmp_path: Path) -> None:
    with (
        server(answering(503, {"error": {"type": "master_not_discovered_exception"}})) as url,
        pytest.raises(PreflightError, match=r"The cluster of the index at http.* 503"),
    ):
        index.agrees(index_at(url, tmp_path), "thehive", 0.1)


@pytest.mark.parametrize(
    ("health", "missing"),
    [
        ({"status": "green", "number_of_nodes": 2}, "2 of its 3 nodes have joined"),
        ({"status": "red", "number_of_nodes": 3}, "health is red"),
        ({"status": "yellow", "number_of_nodes": 3}, ""),
    ],
)
def test_an_index_agrees_once_every_node_joined_and_no_primary_is_missing(
    tmp_path: Path, health: dict[str, Any], missing: str
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        body: dict[str, Any] = {"count": 3, "_shards": {"failed": 0}} if "_count" in request.path else health
        return answering(200, body)(request)

    with server(answer) as url:
        if not missing:
            index.agrees(index_at(url, tmp_path), "thehive", 5)
            return
        with pytest.raises(PreflightError, match=missing):
            index.agrees(index_at(url, tmp_path), "thehive", 0.1)


def test_one_node_alone_is_neither_backed_up_nor_restored(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    require_alone(config, "propolis backup --cold")
    assert clusters(config) == ()
    with pytest.raises(PreflightError, match=r"one of 3 nodes of its cluster.*this host alone") as caught:
        require_alone(nodes_of(config, 3), "propolis backup --cold")
    assert "`hosts`" in caught.value.next
    assert clusters(nodes_of(config, 3)) == ("database", "index")


def test_what_does_not_run_says_nothing_of_its_cluster(tmp_path: Path) -> None:
    config = nodes_of(config_in(tmp_path), 3)
    assert members(config, (), "backup") == {"database": {"count": 3}, "index": {"count": 3}}
    assert members(config_in(tmp_path), (), "backup") == {}


CASSANDRA = """\
cluster_name: thp
seed_provider:
    - class_name: org.apache.cassandra.locator.SimpleSeedProvider
      parameters:
          - seeds: "{seeds}"
listen_address: 127.1.0.1
"""


def test_where_a_node_looks_for_others_is_read_from_its_file(tmp_path: Path) -> None:
    config = nodes_of(config_in(tmp_path), 3)
    assert config.cassandra is not None
    assert config.elasticsearch is not None
    (config.cassandra.config / "cassandra.yaml").write_text(
        CASSANDRA.format(seeds="127.1.0.2:7000, 127.0.0.1,nobody.invalid")
    )
    (config.elasticsearch.config / "elasticsearch.yml").write_text(
        "network: {host: 127.1.0.1}\ndiscovery.seed_hosts: ['127.1.0.2:9300', '[::2]:9300']\n"
    )
    told = members(config, (), "restore")
    own = ["127.0.0.1", "127.1.0.1"]
    assert told["database"] == {"count": 3, "addresses": own, "seeds": ["127.1.0.2", "nobody.invalid"]}
    assert told["index"] == {"count": 3, "addresses": own, "seeds": ["127.1.0.2", "::2"]}


@pytest.mark.parametrize("text", ["", "cluster_name: thp\n", CASSANDRA.format(seeds=""), "seed_provider: x\n", ": ["])
def test_a_file_that_does_not_tell_is_a_warning(tmp_path: Path, text: str) -> None:
    config = nodes_of(config_in(tmp_path), 3)
    assert config.cassandra is not None
    (config.cassandra.config / "cassandra.yaml").write_text(text)
    assert members(config, (), "restore")["database"] == {"count": 3}
    rules = {rule.name: rule for rule in rules_of(look_at(config, "restore"))}
    (found,) = rules["database seeds"].look(look_at(config, "restore"))
    assert found.result == "warn"


@pytest.mark.parametrize(
    ("configured", "seen", "result"), [(1, 1, "ok"), (3, 3, "ok"), (1, 3, "fail"), (3, 4, "fail"), (3, 2, None)]
)
def test_more_nodes_than_configured_stop_everything(configured: int, seen: int, result: str | None) -> None:
    found: list[Check] = list(counted("database nodes", "database.nodes", configured, seen))
    assert [check.result for check in found] == ([result] if result else [])


def test_a_host_that_has_only_a_part_of_the_stack_is_not_backed_up_alone(tmp_path: Path) -> None:
    whole = config_in(tmp_path).model_copy(update={"host": "db1"})
    require_alone(whole, "propolis backup --cold")
    part = whole.model_copy(update={"thehive": None, "files": None})
    with pytest.raises(PreflightError, match=r"db1 has only a part of the stack: its .* has no thehive, files"):
        require_alone(part, "propolis backup --cold")
