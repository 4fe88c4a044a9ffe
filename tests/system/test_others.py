"""Others keep data in the same index server and the same Cassandra: a restore takes none of it away unasked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from propolis.command.stores import open_repository
from propolis.repository import Manifest
from propolis.restore import others
from propolis.stack.index.contents import indices
from propolis.stack.index.service import Index
from propolis_lab import http
from sections import cassandra, elasticsearch
from system.conftest import Scene


class Neighbours:
    """What has nothing to do with TheHive, on its servers."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.lab = scene.lab

    def index(self, method: str, path: str, data: object = None) -> Any:
        answer = http.request(method, f"{self.lab.index_url}/{path}", data=data)
        assert answer.status in (200, 201, 404), answer.text
        return answer.json()

    def document(self, index: str, text: str) -> None:
        self.index("POST", f"{index}/_doc?refresh=true", {"text": text})

    def documents(self, index: str) -> int | None:
        count: int | None = self.index("GET", f"{index}/_count").get("count")
        return count

    def keyspace(self, name: str) -> None:
        with self.lab.cql() as session:
            session.execute(
                f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
            )
            session.execute(f"CREATE TABLE {name}.things (id int PRIMARY KEY)")

    def row(self, keyspace: str, number: int) -> None:
        with self.lab.cql() as session:
            session.execute(f"INSERT INTO {keyspace}.things (id) VALUES ({number})")

    def rows(self, keyspace: str) -> int:
        with self.lab.cql() as session:
            return len(list(session.execute(f"SELECT id FROM {keyspace}.things")))

    def keyspaces(self) -> set[str]:
        with self.lab.cql() as session:
            return {row[0] for row in session.execute("SELECT keyspace_name FROM system_schema.keyspaces")}

    def manifest(self) -> Manifest:
        repository = open_repository(self.scene.propolis.config, self.scene.key)
        return repository.manifest(repository.resolve("latest"))

    def losses(self, *, running: bool = True) -> dict[str, str]:
        """What a restore would take that isn't TheHive's."""
        config, manifest = self.scene.propolis.config, self.manifest()
        index = Index.of(config)
        assert index is not None
        found, _ = others.index_losses(index, manifest, running=running)
        more, _ = others.keyspace_losses(cassandra(config), manifest, running=running)
        return {loss.names[0]: loss.why for loss in [*found, *more] if not loss.thehives}


@pytest.fixture
def neighbours(settled: Scene) -> Iterator[Neighbours]:
    made = Neighbours(settled)
    yield made
    made.index("DELETE", "cortex_6,cortex_7?ignore_unavailable=true")
    with settled.lab.cql() as session:
        for name in ("older", "newer"):
            session.execute(f"DROP KEYSPACE IF EXISTS {name}")


def test_what_others_made_or_wrote_since_the_backup_is_replaced_only_if_it_is_named(neighbours: Neighbours) -> None:
    lab, propolis = neighbours.lab, neighbours.scene.propolis
    neighbours.document("cortex_6", "from before the backup")
    neighbours.keyspace("older")
    neighbours.row("older", 1)
    with lab.cql() as session:
        # Without it, what was written and is in memory only is found when the database is drained.
        session.execute("GRANT SELECT ON KEYSPACE system_views TO thehive")
    propolis.ok("backup")
    assert neighbours.losses() == neighbours.losses(running=False) == {}
    facts = neighbours.manifest().header.facts
    kept = {fact["name"]: fact for fact in facts["indices"]}
    assert {"cortex_6", "thehive_global"} <= kept.keys()
    assert kept["cortex_6"]["documents"] == 1
    assert kept["cortex_6"]["created"] > 1_500_000_000_000
    assert "older" in facts["keyspaces"]

    neighbours.document("cortex_6", "from after it")
    neighbours.document("cortex_7", "new")
    neighbours.row("older", 2)
    neighbours.keyspace("newer")
    assert neighbours.losses() == {
        "cortex_6": "was written to since the backup (2 documents, 1 then)",
        "cortex_7": "is not in the backup (1 documents)",
        "newer": "is not in the backup",
        "older": "was written to since the backup",
    }
    # With its servers stopped, all that can be seen is on disk.
    on_disk = {"cortex_7": "is not in the backup", "newer": "is not in the backup"}
    assert neighbours.losses(running=False).items() >= on_disk.items()

    pids = {service: lab.platform.pids(service) for service in lab.services}
    key = neighbours.scene.key
    message = propolis.run("restore", "latest", "--identity", key).one_clear_error(12)
    for name in ("cortex_6", "cortex_7"):
        assert f"--replace-index {name}" in message
    for name in ("older", "newer"):
        assert f"--replace-keyspace {name}" in message
    assert "Nothing was changed" in message
    (uuid,) = [info.uuid for info in indices(elasticsearch(propolis.config)) if info.name == "cortex_7"]
    some = ("--replace-index", "cortex_6", "--replace-index", uuid, "--replace-keyspace", "newer")
    message = propolis.run("restore", "latest", "--identity", key, *some).one_clear_error(12)
    assert "keyspace older: it isn't TheHive's and was written to since the backup" in message
    assert "cortex" not in message
    assert {service: lab.platform.pids(service) for service in lab.services} == pids
    assert (neighbours.documents("cortex_6"), neighbours.documents("cortex_7"), neighbours.rows("older")) == (2, 1, 2)

    neighbours.scene.restore(*some, "--replace-keyspace", "older")
    assert (neighbours.documents("cortex_6"), neighbours.documents("cortex_7"), neighbours.rows("older")) == (
        1,
        None,
        1,
    )
    assert "newer" not in neighbours.keyspaces()
