"""TheHive's own file says which stores there are and where; no server that happens to have files here is taken."""

import socket
from pathlib import Path

import pytest

from propolis.config.discovery.stack import discover
from propolis.config.schema import BerkeleyConfig, LuceneConfig
from sections import cassandra, elasticsearch
from unit.config.stack_files import CASSANDRA, edit, found, look

ELSEWHERE = "198.51.100.7"
"""Kept for documentation: no host has it."""


@pytest.fixture
def application(root: Path) -> Path:
    return root / "etc/thehive/application.conf"


def use_lucene(application: Path) -> None:
    edit(application, "backend: elasticsearch, hostname: [${lab.address}], port: 9201,", "backend: lucene,")


def test_an_index_of_lucene_is_its_folder_and_not_the_elasticsearch_of_something_else(
    root: Path, application: Path
) -> None:
    use_lucene(application)
    edit(application, "index-name: myhive", "directory: /opt/thp/index")
    assert found(root).index == LuceneConfig(folder=Path("/opt/thp/index"))
    (root / "etc/elasticsearch/elasticsearch.yml").unlink()
    assert found(root).elasticsearch is None


def test_a_database_of_berkeley_db_is_its_folder_and_not_the_cassandra_of_something_else(
    root: Path, application: Path
) -> None:
    edit(application, "backend: cql", "backend: berkeleyje, directory: /opt/thp/database")
    assert found(root).database == BerkeleyConfig(folder=Path("/opt/thp/database"))
    (root / "etc/cassandra/cassandra.yaml").unlink()
    assert found(root).cassandra is None


def test_without_a_backend_it_is_said_what_to_set_and_nothing_is_guessed(root: Path, application: Path) -> None:
    edit(application, "backend: cql", "")
    edit(application, "backend: elasticsearch, ", "")
    database, index = look(root).problems
    assert "db.janusgraph.storage.backend is not set" in database
    assert "Set it to cql (Cassandra) or berkeleyje (Berkeley DB), whichever TheHive uses" in database
    assert "db.janusgraph.index.search.backend is not set" in index
    assert "Set it to lucene, with db.janusgraph.index.search.directory, or to elasticsearch" in index


def package(root: Path, *jars: str) -> None:
    folder = root / "opt/thehive/lib"
    folder.mkdir(parents=True, exist_ok=True)
    for jar in jars:
        (folder / jar).touch()


def test_where_the_package_is_of_version_4_its_own_defaults_count(root: Path, application: Path) -> None:
    package(root, "org.thp.thehive-4.1.24-1.jar", "org.thp.thehive-core-4.1.24-1.jar", "com.other-9.0.jar")
    edit(application, "backend: elasticsearch, hostname: [${lab.address}], port: 9201,\n      index-name: myhive", "")
    edit(application, "backend: cql", "backend: berkeleyje")
    discovery = look(root)
    assert discovery.config is not None
    assert discovery.config.index == LuceneConfig(folder=Path("/opt/thp/thehive/index"))
    assert discovery.config.database == BerkeleyConfig(folder=Path("/opt/thp/thehive/database"))
    assert "TheHive 4's default" in discovery.notes["index.kind"]


@pytest.mark.parametrize(
    "jars", [["org.thp.thehive-core-5.2.1-1.jar"], ["thehive-4.1.1.jar", "thehive-5.0.1.jar"], []]
)
def test_other_versions_or_several_have_no_defaults_that_are_known(
    root: Path, application: Path, jars: list[str]
) -> None:
    package(root, *jars)
    edit(application, "backend: elasticsearch, ", "")
    edit(application, "backend: cql", "backend: berkeleyje")
    database, index = look(root).problems
    assert "storage.directory is not set" in database
    assert "index.search.backend is not set" in index


def test_lucene_without_its_folder_is_a_problem(root: Path, application: Path) -> None:
    use_lucene(application)
    (problem,) = look(root).problems
    assert f"{application}:" in problem
    assert "db.janusgraph.index.search.directory is not set" in problem


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("backend: cql", "backend: hbase", "storage.backend is hbase; only cql (Cassandra) and berkeleyje"),
        ("backend: cql", "backend: inmemory", "only in memory, so there is nothing to back up"),
        ("backend: elasticsearch", "backend: solr", "is solr; only elasticsearch (OpenSearch, too) and lucene"),
        ("provider: localfs", "provider: hdfs", "it is hdfs: attachments in Hadoop can't be backed up yet"),
        ("provider: localfs", "provider: database", "it is database: attachments inside the database can't"),
        ("provider: localfs", "provider: ftp", "it is ftp: which is not known"),
    ],
)
def test_what_is_not_supported_is_named_with_its_line(
    root: Path, application: Path, old: str, new: str, what: str
) -> None:
    edit(application, old, new)
    (problem,) = look(root).problems
    assert what in problem
    assert problem.startswith(f"{application}:")


@pytest.mark.parametrize("store", ["database", "index"])
def test_a_store_on_another_host_is_refused_though_a_stale_local_server_has_files_here(
    root: Path, application: Path, store: str
) -> None:
    line = {"database": 11, "index": 16}[store]
    text = application.read_text().splitlines()
    text[line - 1] = text[line - 1].replace("[${lab.address}]", f'["{ELSEWHERE}"]')
    application.write_text("\n".join(text))
    (problem,) = look(root).problems
    key = {"database": "db.janusgraph.storage.hostname", "index": "db.janusgraph.index.search.hostname"}[store]
    what = {"database": "a database", "index": "an index"}[store]
    assert problem == (
        f"{application}:{line}: {key} names {ELSEWHERE}, which is not this host: to back up {what} on another host,"
        " use `propolis init --host NAME`, then `propolis host add`"
    )


def test_of_a_cluster_each_other_host_is_named(root: Path, application: Path) -> None:
    edit(
        application, "hostname: [${lab.address}]\n", f'hostname: ["127.0.0.1", "{ELSEWHERE}", "cassandra.invalid"]\n'
    )
    problems = look(root).problems
    assert len(problems) == 2
    assert f"names {ELSEWHERE}, which is not this host" in problems[0]
    assert "names cassandra.invalid, which can't be resolved on this host" in problems[1]


@pytest.mark.parametrize(
    "hosts", ['"localhost"', '"::1"', '"127.0.0.1,localhost"', f'"{socket.gethostname()}"', '"LOCALHOST"']
)
def test_every_way_to_name_this_host_is_understood(root: Path, application: Path, hosts: str) -> None:
    edit(application, "hostname: [${lab.address}]\n", f"hostname: [{hosts}]\n")
    assert found(root).cassandra is not None


def test_this_hosts_own_address_is_this_host(root: Path, application: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((ELSEWHERE, 9))  # sends nothing
        own = probe.getsockname()[0]
    edit(application, "hostname: [${lab.address}], port: 9201", f'hostname: ["{own}:9201"]')
    assert found(root).elasticsearch is not None


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        (
            "elasticsearch/elasticsearch.yml",
            "http.port: 9201",
            "http.port: 9333",
            "elasticsearch.yml:4 (http.port): the server is at port 9333, but TheHive's index is at port 9201",
        ),
        (
            "thehive/application.conf",
            ", port: 9201",
            "",
            "elasticsearch.yml:4 (http.port): the server is at port 9201, but TheHive's index is at port 9200",
        ),
        (
            "cassandra/cassandra.yaml",
            "rpc_address",
            "native_transport_port: 9999\nrpc_address",
            "TheHive's database is at port 9042, but ",
        ),
        (
            "thehive/application.conf",
            "backend: cql",
            "backend: cql, port: 9043",
            "application.conf:10: TheHive's database is at port 9043, but ",
        ),
    ],
)
def test_a_server_at_another_port_than_thehives_is_somebody_elses(
    root: Path, file: str, old: str, new: str, what: str
) -> None:
    edit(root / "etc" / file, old, new)
    (problem,) = look(root).problems
    assert what in problem
    assert "--config-folder" in problem


def test_both_kinds_of_files_set_up_is_said_as_one_isnt_used(root: Path, application: Path) -> None:
    edit(application, "provider: localfs\n", 'provider: localfs\n  s3.bucket = "old"\n')
    (warning,) = look(root).warnings
    assert "storage.s3 is set, but not used" in warning
    assert str(application) in warning


def test_the_folders_of_rpm_packages_are_found(root: Path) -> None:
    etc = root / "etc/cassandra"
    real = etc / "default.conf"
    real.mkdir()
    (etc / "cassandra.yaml").rename(real / "cassandra.yaml")
    (etc / "conf").symlink_to(real)
    assert cassandra(found(root)).config == real


def test_two_different_folders_with_a_file_of_cassandra_are_not_chosen_from(root: Path) -> None:
    conf = root / "etc/cassandra/conf"
    conf.mkdir()
    (conf / "cassandra.yaml").write_text(CASSANDRA)
    (problem,) = look(root).problems
    assert "so init can't tell which one is in use" in problem
    assert "--config-folder database=FOLDER" in problem


def test_any_folder_of_configuration_can_be_named(root: Path, tmp_path: Path) -> None:
    folders = {}
    for service, name in (("thehive", "thehive"), ("database", "cassandra"), ("index", "elasticsearch")):
        folders[service] = tmp_path / "opt" / service
        folders[service].parent.mkdir(exist_ok=True)
        (root / "etc" / name).rename(folders[service])
    config = discover(root, repository={"url": "/backup"}, folders=folders).config
    assert config is not None
    assert config.require_thehive().config == folders["thehive"]
    assert cassandra(config).config == folders["database"]
    assert elasticsearch(config).config == folders["index"]


def test_a_file_that_is_included_from_elsewhere_is_named_as_no_backup_holds_it(root: Path, application: Path) -> None:
    other = root / "srv/secret.conf"
    other.parent.mkdir()
    (application.parent / "secret.conf").rename(other)
    edit(application, 'include "secret.conf"', f'include "{other}"')
    (warning,) = look(root).warnings
    assert warning.startswith(
        f"{application} names {other}, which is outside of {application.parent}, so it is not backed up"
    )


def test_certificates_that_lie_elsewhere_are_named_as_no_backup_holds_them(root: Path) -> None:
    store = root / "srv/server.p12"
    store.parent.mkdir()
    store.touch()
    file = root / "etc/cassandra/cassandra.yaml"
    file.write_text(CASSANDRA + f"server_encryption_options:\n  keystore: {store}\n  truststore: /nothere.p12\n")
    (warning,) = look(root).warnings
    assert warning.startswith(f"{file}:10 (server_encryption_options.keystore) names {store}, which is outside of")


def test_a_folder_that_nothing_reads_is_named(root: Path, application: Path) -> None:
    edit(application, "localfs.location", "localfs.directory")
    (problem,) = look(root).problems
    assert "storage.localfs.directory is set, but no version reads it" in problem
