"""A stack that was moved after `propolis init` is noticed: its old servers are not taken for TheHive's."""

from pathlib import Path

import pytest

from propolis.config.agreement import disagreements, elsewhere
from propolis.config.schema import BerkeleyConfig, Config, LuceneConfig
from propolis.errors import ConfigError
from sections import cassandra, elasticsearch
from unit.config.stack_files import APPLICATION, edit, found
from unit.config.test_discovery_of_services import lay_cortex

ELSEWHERE = "198.51.100.7"


@pytest.fixture
def config(root: Path) -> Config:
    return found(root)


@pytest.fixture
def application(root: Path) -> Path:
    return root / "etc/thehive/application.conf"


def test_what_init_wrote_agrees_with_what_it_read(config: Config) -> None:
    assert disagreements(config) == []
    assert elsewhere(config) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("backend: cql", "backend: berkeleyje", "is berkeleyje, but database.kind in propolis.yaml is cassandra"),
        ("backend: elasticsearch", "backend: lucene", "is lucene, but index.kind in propolis.yaml is elasticsearch"),
        ("keyspace: hive", "keyspace: new", "is new, but database.keyspace in propolis.yaml is hive"),
        ("index-name: myhive", "index-name: new", "is new, but index.prefix in propolis.yaml is myhive"),
        ("/opt/thp/thehive/files", "/srv/files", "is /srv/files, but files.folder in propolis.yaml is /opt/thp"),
        ("provider: localfs", "provider: s3", "is s3, but files.kind in propolis.yaml is folder"),
        ("hostname: [${lab.address}]\n", f"hostname: [{ELSEWHERE}]\n", f"names {ELSEWHERE}, which is not this host"),
        ("hostname: [${lab.address}],", f"hostname: ['{ELSEWHERE}'],".replace("'", '"'), f"names {ELSEWHERE}"),
    ],
)
def test_what_was_changed_since_is_named_with_its_line(
    config: Config, application: Path, old: str, new: str, what: str
) -> None:
    edit(application, old, new)
    (problem,) = disagreements(config)
    assert problem.startswith(f"{application}:")
    assert what in problem


def test_what_the_file_does_not_set_is_not_compared(config: Config, application: Path) -> None:
    application.write_text("a = 1\n")
    assert disagreements(config) == []


def test_stores_in_folders_are_compared_and_links_followed(config: Config, application: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    edit(application, "backend: cql", f'backend: berkeleyje, directory: "{tmp_path}/link"')
    edit(application, "backend: elasticsearch", 'backend: lucene, directory: "/index"')
    moved = config.model_copy(
        update={"database": BerkeleyConfig(folder=tmp_path / "real"), "index": LuceneConfig(folder=Path("/other"))}
    )
    (problem,) = disagreements(moved)
    assert "is /index, but index.folder in propolis.yaml is /other" in problem


def test_servers_that_propolis_yaml_has_on_other_hosts_are_named(config: Config) -> None:
    database = cassandra(config).model_copy(update={"host": ELSEWHERE})
    index = elasticsearch(config).model_copy(update={"url": f"https://{ELSEWHERE}:9200"})
    assert elsewhere(config.model_copy(update={"database": database, "index": index})) == [
        f"database.host in propolis.yaml names {ELSEWHERE}, which is not this host: a server elsewhere needs"
        " `propolis host add`",
        f"index.url in propolis.yaml names {ELSEWHERE}, which is not this host: a server elsewhere needs"
        " `propolis host add`",
    ]


def test_a_file_that_cant_be_read_is_not_taken_for_agreement(config: Config, application: Path) -> None:
    application.write_text(APPLICATION + "{")
    with pytest.raises(ConfigError):
        disagreements(config)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("mycortex", "other", "is other, but cortex.prefix in propolis.yaml is mycortex"),
        ("/opt/cortex/jobs", "/srv/jobs", "is /srv/jobs, but cortex.jobs in propolis.yaml is /opt/cortex/jobs"),
        ("127.7.0.1:9201", "127.7.0.1:9301", "is http://127.7.0.1:9301, but index.url in propolis.yaml"),
        ("127.7.0.1:9201", f"{ELSEWHERE}:9201", f"is http://{ELSEWHERE}:9201, but index.url in propolis.yaml"),
    ],
)
def test_a_cortex_that_was_moved_is_noticed(root: Path, old: str, new: str, what: str) -> None:
    folder = lay_cortex(root)
    config = found(root)
    assert config.cortex is not None
    assert disagreements(config) == []
    edit(folder / "application.conf", old, new)
    (told,) = disagreements(config)
    assert what in told


def test_a_cortex_without_its_file_is_another_folder(root: Path) -> None:
    folder = lay_cortex(root)
    config = found(root)
    (folder / "application.conf").unlink()
    (told,) = disagreements(config)
    assert str(folder) in told
