"""Discovery and probes on a real lab: found from its files alone, asked as it runs."""

import threading
from pathlib import Path

import pytest

from propolis.config import sample, secrets
from propolis.config.discovery.stack import discover
from propolis.config.fields import SecretRef
from propolis.config.load import load
from propolis.config.schema import CassandraConfig, Config
from propolis.errors import IntegrityError, PreflightError
from propolis.stack.asking import retry
from propolis.stack.database import roles
from propolis.stack.database import server as database
from propolis.stack.index import server as index
from propolis.stack.stack import START_WAVES, answers, folders, services
from propolis.stack.thehive import server as thehive
from propolis_lab.lab import Lab
from sections import cassandra, elasticsearch

pytestmark = pytest.mark.lab


@pytest.fixture
def config(lab: Lab) -> Config:
    discovery = discover(lab.root, repository={"url": str(lab.root / "backup")}, name="lab")
    assert discovery.problems == ()
    assert discovery.config is not None
    return discovery.config


def test_the_lab_is_found_from_its_configuration_files_alone(lab: Lab, config: Config, tmp_path: Path) -> None:
    assert config.require_thehive().url == lab.thehive_url
    assert elasticsearch(config).url == lab.index_url
    assert cassandra(config).host == lab.address
    assert cassandra(config).cluster_name == lab.options.cluster_name
    password = cassandra(config).password
    assert password is not None
    assert secrets.resolve(password) == lab.record.database_password
    for tree in folders(config):
        assert tree.path.is_dir()
    file = tmp_path / "propolis.yaml"
    sample.write(file, sample.render(config, {}))
    assert load(file) == config
    assert lab.record.database_password not in file.read_text()


def test_services_say_what_they_are_and_hold(lab: Lab, config: Config) -> None:
    for service in services(config):
        answers(config, service, 60)
    seen = database.facts(cassandra(config))
    assert seen.release_version.startswith(lab.options.cassandra)
    assert seen.cluster_name == lab.options.cluster_name
    assert cassandra(config).keyspace in seen.keyspaces
    (node,) = seen.nodes
    assert (node.address, node.up, node.normal) == (lab.address, True, True)
    assert database.require_graph(cassandra(config))
    found = index.facts(elasticsearch(config), "thehive")
    assert found.distribution == lab.options.index
    assert found.version.startswith("7.17")
    assert found.health in ("green", "yellow")
    documents = index.documents(elasticsearch(config), "thehive")
    assert documents == dict(found.indices)
    assert documents[lab.graph_index] > 0
    assert thehive.facts(config.require_thehive()).version


def test_documents_are_counted_as_soon_as_they_are_acknowledged(lab: Lab, config: Config) -> None:
    before = sum(index.documents(elasticsearch(config), "thehive").values())
    lab.api("POST", "/api/v1/case", {"title": "counted", "description": "counted at once"})
    assert sum(index.documents(elasticsearch(config), "thehive").values()) > before


def test_a_stopped_service_is_told_from_a_running_one(lab: Lab, config: Config) -> None:
    for service in services(config):
        lab.platform.stop(service)
    try:
        for service in services(config):
            with pytest.raises(PreflightError, match="refused"):
                answers(config, service, 0.5)
    finally:
        for wave in START_WAVES:
            present = [service for service in wave if service in services(config)]
            for service in present:
                lab.platform.start(service)
            for service in present:
                # Asked while it starts: everything on the way up counts as not answering yet.
                answers(config, service, 300)
    assert lab.answers("database")
    assert database.require_graph(cassandra(config))
    assert sum(index.documents(elasticsearch(config), "thehive").values()) > 0
    assert lab.api("GET", "/api/v1/counts")


def test_a_wrong_password_and_a_missing_keyspace_are_clear_errors(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "password"
    wrong.touch(0o600)
    wrong.write_text("not-the-password")
    other = cassandra(config).model_copy(update={"password": SecretRef(file=wrong)})
    with pytest.raises(PreflightError, match="answers, but it refuses the login of thehive") as caught:
        database.facts(other)
    monkeypatch.setattr(retry, "REFUSAL_GRACE", 1.0)
    with pytest.raises(PreflightError, match="answers, but it refuses the login of thehive"):
        database.answers(other, 600)
    with pytest.raises(PreflightError, match="it wants one"):
        database.answers(other.model_copy(update={"username": None, "password": None}), 600)
    assert "not-the-password" not in str(caught.value)
    with pytest.raises(IntegrityError, match="the keyspace does not exist"):
        database.require_graph(cassandra(config).model_copy(update={"keyspace": "nothere"}))


def test_probes_leave_no_thread_and_no_output_behind(config: Config, capfd: pytest.CaptureFixture[str]) -> None:
    database.facts(cassandra(config))
    before = threading.active_count()  # with the driver's one event loop, which it keeps
    for _ in range(3):
        for service in services(config):
            answers(config, service, 60)
    assert threading.active_count() <= before
    output = capfd.readouterr()
    assert output.out + output.err == ""


def test_a_superuser_makes_a_role_and_a_role_changes_its_own_password(
    lab: Lab, config: Config, tmp_path: Path
) -> None:
    def logged_in_as(name: str, password: str) -> CassandraConfig:
        file = tmp_path / "password"
        file.touch(0o600)
        file.write_text(password)
        return cassandra(config).model_copy(update={"username": name, "password": SecretRef(file=file)})

    superuser = ("cassandra", lab.record.superuser_password)
    assert database.facts(logged_in_as(*superuser)).superuser == "cassandra"
    assert database.facts(cassandra(config)).superuser == ""
    name = 'its "own" role'
    try:
        roles.give_role(cassandra(config), superuser, (name, "it's one"))
        assert database.require_graph(logged_in_as(name, "it's one"))
        roles.give_role(cassandra(config), (name, "it's one"), (name, "it's another"))
        assert database.require_graph(logged_in_as(name, "it's another"))
        with pytest.raises(PreflightError, match="lacks a permission"):
            roles.give_role(cassandra(config), (name, "it's another"), ("a third", "x"))
    finally:
        with lab.cql() as session:
            session.execute('DROP ROLE IF EXISTS "its ""own"" role"')
