"""The doctor on a real lab: all is well, and each thing broken is named while the other checks go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from propolis.checks import Check, checks
from propolis.config.discovery.stack import discover
from propolis.config.schema import Config
from propolis.repository import Identity, Location, Repository, write_identity
from propolis_lab.lab import Lab
from sections import cassandra, elasticsearch

pytestmark = pytest.mark.lab


@pytest.fixture
def config(lab: Lab, tmp_path: Path) -> Config:
    """The lab's configuration with a repository of its own."""
    discovery = discover(
        lab.root,
        repository={"url": str(tmp_path / "backup"), "host_key": str(tmp_path / "host.key")},
        name="lab",
        state=tmp_path / "state",
    )
    assert discovery.config is not None, discovery.problems
    config = discovery.config
    host, recovery = Identity.generate(), Identity.generate()
    write_identity(config.repository.host_key, host)
    Repository.init(Location.from_config(config.repository), [recovery.recipient], host)
    return config


@pytest.fixture
def stopped_index(lab: Lab) -> Iterator[None]:
    lab.platform.stop("index")
    yield
    lab.platform.start("index")
    lab.wait("index")


def outcome(config: Config) -> dict[str, Check]:
    return {check.name: check for check in checks(config)}


def failed(config: Config) -> set[str]:
    return {check.name for check in checks(config) if check.result == "fail"}


def test_nothing_fails_on_a_healthy_stack(config: Config) -> None:
    found = outcome(config)
    assert {check.name: check.message for check in found.values() if check.result == "fail"} == {}
    for name in (
        *("service thehive", "service index", "service database", "database nodes", "database version"),
        *("index health", "index version", "index contents", "thehive", "database clock", "repository clock"),
        *("files/folder", "database/data-0", "config/thehive", "clone index/data", "space for a clone"),
        *("space for a restore", "leftovers", "state folder", "host key", "repository", "repository writable"),
    ):
        assert found[name].result == "ok", found[name]
    assert found["backups"].result == "warn"


def test_nothing_is_left_behind_by_the_checks(config: Config) -> None:
    checks(config)
    assert not config.state.exists()
    repository = Repository.open(Location.from_config(config.repository), [])
    assert list(repository.storage.list("locks")) == []
    for folder in (*cassandra(config).data, elasticsearch(config).data, config.require_thehive().config):
        assert [path for path in folder.parent.iterdir() if path.name.startswith(".propolis")] == []


def test_a_stopped_index_is_named_and_hides_nothing_else(config: Config, stopped_index: None) -> None:
    found = outcome(config)
    assert found["service index"].result == "fail"
    assert found["index"].result == "fail"
    assert "refused" in found["index"].message
    for name in ("database", "database nodes", "host key", "repository writable", "clone index/data"):
        assert found[name].result == "ok", found[name]


def test_an_open_host_key_and_a_lost_one_are_named(config: Config) -> None:
    config.repository.host_key.chmod(0o640)
    assert outcome(config)["host key"].hint == f"Run chmod 600 {config.repository.host_key}"
    config.repository.host_key.unlink()
    found = outcome(config)
    assert found["host key"].result == "fail"
    assert found["database"].result == "ok"


def test_a_repository_that_is_not_there_is_named(config: Config, tmp_path: Path) -> None:
    elsewhere = config.repository.model_copy(update={"url": str(tmp_path / "nowhere")})
    assert failed(config.model_copy(update={"repository": elsewhere})) == {"repository"}


def test_a_wrong_configuration_is_named_key_by_key(config: Config, tmp_path: Path) -> None:
    database = cassandra(config).model_copy(
        update={"cluster_name": "other", "keyspace": "other", "hints": tmp_path / "nothing"}
    )
    index = elasticsearch(config).model_copy(update={"prefix": "other"})
    (tmp_path / "state").write_text("a file where a folder should be")
    found = outcome(config.model_copy(update={"database": database, "index": index}))
    assert "'other'" in found["database cluster"].message
    assert {name for name, check in found.items() if check.result == "fail"} == {
        *("database cluster", "database keyspace", "database/hints", "clone database/hints"),
        *("index contents", "state folder", "settings"),
    }


def test_what_only_looks_like_a_leftover_is_named(config: Config, lab: Lab) -> None:
    left = elasticsearch(config).data.parent / f".propolis-20260101T000000Z-{elasticsearch(config).data.name}"
    left.mkdir()
    try:
        check = outcome(config)["leftovers"]
    finally:
        left.rmdir()
    assert check.result == "warn"
    assert str(left) in check.message
    assert "left alone" in check.message
