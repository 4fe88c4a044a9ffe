"""What a host answers to its coordinator: what is on it, what is written there, how it is."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from propolis import __version__
from propolis.agent.questions import QUESTIONS, answer
from propolis.config.load import load
from propolis.errors import ConfigError, PreflightError, PropolisError, UsageError
from propolis.link.messages import PROTOCOL, Ask
from propolis.repository import Identity, Location, Repository, read_identities
from propolis.run import SilentObserver
from propolis.stack.database.service import Database
from unit.config.stack_files import lay

RECOVERY = Identity.generate()


class Host:
    """A host whose root is a folder, without TheHive."""

    def __init__(self, folder: Path) -> None:
        self.root = lay(folder / "db2")
        self.vault = folder / "vault"
        self.file = self.root / "etc/propolis/propolis.yaml"
        (self.root / "etc/thehive/application.conf").unlink()

    def ask(self, question: str, *, host: str = "db2", stack: str = "hive", **options: Any) -> Any:
        asked = Ask(
            protocol=PROTOCOL, propolis=__version__, host=host, stack=stack, question=question, options=options
        )
        return answer(asked, self.file, SilentObserver())

    def configure(self, **more: Any) -> Any:
        return self.ask("configure", repository={"url": str(self.vault)}, **more)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_host_is_asked_what_is_on_it_before_anything_is_written(host: Host) -> None:
    found = host.ask("discover", repository={"url": str(host.vault)})
    assert found["problems"] == []
    assert found["services"] == {"database": "127.7.0.1:9042", "index": "http://127.7.0.1:9201"}
    assert not host.file.exists()
    assert host.ask("about")["configured"] is False


def test_its_configuration_is_written_for_its_owner_alone_and_only_once(host: Host) -> None:
    host.configure(known={"database.keyspace": "hive"})
    config = load(host.file)
    assert (config.name, config.host, config.thehive) == ("hive", "db2", None)
    assert config.require_cassandra().keyspace == "hive"
    assert host.file.stat().st_mode & 0o777 == 0o600
    before = host.file.read_bytes()
    with pytest.raises(ConfigError, match="already exists"):
        host.configure()
    assert host.file.read_bytes() == before
    about = host.ask("about")
    assert (about["host"], about["stack"], about["url"], about["propolis"]) == (
        "db2",
        "hive",
        str(host.vault),
        __version__,
    )


def test_what_can_not_be_found_leaves_nothing_written(host: Host) -> None:
    (host.root / "etc/cassandra/cassandra.yaml").write_text("cluster_name: x\n")
    with pytest.raises(ConfigError, match=r"could not be found.*data_file_directories"):
        host.configure()
    assert not host.file.exists()


def test_a_server_that_runs_says_how_many_nodes_its_cluster_has(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class ThreeNodes:
        member: ClassVar[dict[str, Any]] = {"nodes": ["a", "b", "c"]}

    monkeypatch.setattr(Database, "facts", lambda self: ThreeNodes())
    host.configure()
    assert load(host.file).require_cassandra().nodes == 3
    assert load(host.file).require_elasticsearch().nodes == 1
    assert "#   from its own answer\n  nodes: 3" in host.file.read_text()


def test_a_secret_that_is_missing_there_is_named_and_never_shown(host: Host) -> None:
    file = host.root / "etc/propolis/database.password"
    known = {"database.username": "thehive"}
    (missing,) = host.configure(known=known)["missing"]
    assert missing == f"database.password: The secret's file {file} can't be read: No such file or directory"
    file.write_text("s3cret#x")
    file.chmod(0o600)
    assert host.ask("about")["missing"] == []
    assert "s3cret" not in str([host.ask("about"), host.file.read_text()])


def test_a_coordinator_can_not_choose_what_a_host_reads_and_where_it_keeps_its_key(host: Host) -> None:
    known = {
        "database.username": "thehive",
        "database.password": {"file": "/etc/shadow"},
        "database.config": "/root",
        "state": "/root",
        "index.prefix": {"a": 1},
    }
    host.ask("configure", known=known, repository={"url": str(host.vault), "host_key": "/root/.ssh/id", "copies": []})
    config = load(host.file)
    assert config.repository.host_key == host.root / "etc/propolis/host.key"
    assert config.require_cassandra().config == host.root / "etc/cassandra"
    assert str(config.require_cassandra().password) == f"file {host.root}/etc/propolis/database.password"
    assert config.state == host.root / "var/lib/propolis"
    assert config.require_elasticsearch().prefix == "thehive"


def test_a_hosts_key_is_made_there_and_only_its_public_part_is_told(host: Host) -> None:
    Repository.init(Location(str(host.vault)), [RECOVERY.recipient], Identity.generate())
    host.configure()
    found = host.ask("key")
    (identity,) = read_identities(load(host.file).repository.host_key)
    assert found["recipient"] == str(identity.recipient)
    assert "doesn't know this host's key" in found["closed"]
    assert host.ask("key") == found


@pytest.mark.parametrize("question", ["status", "doctor", "recover", "key"])
def test_a_host_that_is_another_than_the_coordinator_says_answers_nothing(host: Host, question: str) -> None:
    host.configure()
    with pytest.raises(PreflightError, match=r"This host is called db2 in its .*, but db3 on its coordinator"):
        host.ask(question, host="db3")
    with pytest.raises(PreflightError, match="is of the stack hive, but its coordinator's of other"):
        host.ask(question, stack="other")


def test_without_a_configuration_it_says_so(host: Host) -> None:
    with pytest.raises(ConfigError, match=r"propolis.yaml: can't be read"):
        host.ask("status")
    with pytest.raises(UsageError, match="doesn't know the question"):
        host.ask("shell")
    with pytest.raises(PropolisError, match="names no repository"):
        host.ask("discover", repository="/etc")


def test_how_it_is_is_told_in_plain_values(host: Host) -> None:
    host.configure()
    status = host.ask("status")
    assert set(status["services"]) == {"database", "index"}
    doctor = host.ask("doctor")
    assert {"name", "result", "message", "hint"} == set(doctor["checks"][0])
    assert any(check["result"] == "fail" for check in doctor["checks"])
    assert doctor["facts"]["roles"] == ["index", "database"]
    assert host.ask("recover") == []
    assert set(QUESTIONS) >= {"about", "discover", "configure", "key", "status", "doctor", "recover"}
