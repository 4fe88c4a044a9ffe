"""A stack is found from its own files alone; what can't be found is said, never guessed."""

from pathlib import Path

import pytest

from propolis.config import sample, secrets
from propolis.config.discovery.stack import discover
from propolis.config.load import load
from propolis.config.schema import FolderFiles, S3Files
from sections import cassandra, elasticsearch
from unit.config.stack_files import APPLICATION, CASSANDRA, INDEX, S3, edit, found, look


def test_everything_is_found_in_the_stacks_own_files(root: Path) -> None:
    config = found(root)
    etc = root / "etc"
    assert config.require_thehive().url == "http://127.7.0.1:9123"
    assert config.require_thehive().config == etc / "thehive"
    database = cassandra(config)
    assert (database.host, database.port, database.keyspace, database.cluster_name) == (
        "127.7.0.1",
        9042,
        "hive",
        "thp",
    )
    assert database.data == (Path("/var/lib/cassandra/data"), Path("/data2"))
    assert (elasticsearch(config).url, elasticsearch(config).prefix) == ("http://127.7.0.1:9201", "myhive")
    assert elasticsearch(config).data == Path("/var/lib/elasticsearch")
    assert config.files == FolderFiles(folder=Path("/opt/thp/thehive/files"))
    assert config.platform.services == etc / "services"
    assert config.repository.host_key == etc / "propolis/host.key"


def test_a_password_is_a_reference_that_resolves_and_never_a_value(root: Path) -> None:
    discovery = look(root)
    assert discovery.config is not None
    text = sample.render(discovery.config, discovery.notes)
    assert "s3cret" not in text
    password = cassandra(discovery.config).password
    assert password is not None
    assert secrets.resolve(password) == "s3cret#x"


def test_the_written_file_loads_and_says_where_each_value_came_from(root: Path) -> None:
    discovery = look(root)
    assert discovery.config is not None
    file = root / "propolis.yaml"
    file.write_text(sample.render(discovery.config, discovery.notes))
    assert load(file) == discovery.config
    assert f"from {root}/etc/cassandra/cassandra.yaml:8 (rpc_address)" in file.read_text()


def test_attachments_in_a_bucket_are_found_with_references_to_the_keys(root: Path) -> None:
    file = root / "etc/thehive/application.conf"
    file.write_text(APPLICATION + S3)
    files = found(root).files
    assert isinstance(files, S3Files)
    assert (files.bucket, files.endpoint, files.region, files.prefix) == (
        "b",
        "http://127.7.0.1:9100",
        "eu-west-3",
        "sub",
    )
    assert files.access_key is not None
    assert files.secret_key is not None
    assert secrets.resolve(files.access_key) == "AK"
    assert secrets.resolve(files.secret_key) == "very secret"


def test_the_environment_of_thehives_service_counts(root: Path) -> None:
    (root / "etc/services/thehive.yaml").write_text("environment:\n  LAB_ADDRESS: 127.9.9.9\n")
    assert found(root).require_thehive().url == "http://127.9.9.9:9123"


def test_a_password_that_only_the_services_environment_holds_is_a_problem(root: Path) -> None:
    edit(root / "etc/thehive/application.conf", "${lab.password}", "${?DB_PASSWORD}")
    (root / "etc/services/thehive.yaml").write_text("environment:\n  DB_PASSWORD: s3cret\n")
    (problem,) = look(root).problems
    assert "comes from the environment of TheHive's service" in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    "setting",
    ["data_file_directories", "commitlog_directory", "hints_directory", "saved_caches_directory"],
)
def test_a_folder_that_cassandra_would_put_below_its_installation_is_a_problem(root: Path, setting: str) -> None:
    edit(root / "etc/cassandra/cassandra.yaml", f"{setting}:", f"# {setting}:")
    (problem,) = look(root).problems
    assert problem.startswith(f"{root}/etc/cassandra/cassandra.yaml: {setting} is not set")
    assert "absolute path" in problem


def test_system_keyspaces_in_a_folder_of_their_own_are_not_forgotten(root: Path) -> None:
    edit(root / "etc/cassandra/cassandra.yaml", "rpc_address", "local_system_data_file_directory: /sys\nrpc_address")
    assert cassandra(found(root)).data[-1] == Path("/sys")


def test_change_data_capture_has_its_folder_only_where_it_is_on(root: Path) -> None:
    file = root / "etc/cassandra/cassandra.yaml"
    file.write_text(CASSANDRA + "cdc_raw_directory: /cdc\n")
    assert cassandra(found(root)).cdc_raw is None
    file.write_text(CASSANDRA + "cdc_raw_directory: /cdc\ncdc_enabled: true\n")
    assert cassandra(found(root)).cdc_raw == Path("/cdc")


def test_defaults_are_those_of_the_programs(root: Path) -> None:
    edit(root / "etc/cassandra/cassandra.yaml", "cluster_name: 'thp'", "num_tokens: 16")
    edit(root / "etc/cassandra/cassandra.yaml", "rpc_address: 127.7.0.1", "rpc_address: 0.0.0.0")
    (root / "etc/elasticsearch/elasticsearch.yml").write_text("path.data: /var/lib/elasticsearch\n")
    edit(root / "etc/thehive/application.conf", ", port = 9123", "")
    edit(root / "etc/thehive/application.conf", ", port: 9201", "")
    config = found(root)
    assert cassandra(config).cluster_name == "Test Cluster"
    assert cassandra(config).host == "127.0.0.1"
    assert elasticsearch(config).url == "http://127.0.0.1:9200"
    assert config.require_thehive().url == "http://127.7.0.1:9000"


def test_opensearch_is_found_by_its_own_file(root: Path) -> None:
    (root / "etc/elasticsearch").rename(root / "etc/opensearch")
    (root / "etc/opensearch/elasticsearch.yml").rename(root / "etc/opensearch/opensearch.yml")
    assert elasticsearch(found(root)).config == root / "etc/opensearch"


def test_an_index_that_asks_for_a_login_over_tls_is_found_with_both(root: Path) -> None:
    (root / "etc/elasticsearch/elasticsearch.yml").write_text(
        INDEX + "xpack.security.http.ssl:\n  enabled: true\n  certificate_authorities: [/etc/ca.pem]\n"
    )
    edit(
        root / "etc/thehive/application.conf",
        "index-name: myhive",
        'index-name: myhive, elasticsearch.http.auth { type = basic, basic { username = u, password = "p" } }',
    )
    index = elasticsearch(found(root))
    assert (index.url, index.username, index.ca) == ("https://127.7.0.1:9201", "u", Path("/etc/ca.pem"))
    assert index.password is not None
    assert secrets.resolve(index.password) == "p"


def test_the_index_of_thehives_audit_log_is_known_by_its_name(root: Path) -> None:
    assert elasticsearch(found(root)).audit is None
    with (root / "etc/thehive/application.conf").open("a") as out:
        out.write('\naudit.elasticsearch.index-name = "hive.log"\n')
    assert elasticsearch(found(root)).audit == "hive.log"


def test_variables_in_the_index_configuration_come_from_its_services_environment(root: Path) -> None:
    (root / "etc/elasticsearch/elasticsearch.yml").write_text(
        "path.data: ${DATA}\nhttp.host: ${HOST:127.0.0.9}\nhttp.port: 9201\n"
    )
    (problem,) = look(root).problems
    assert "${DATA}" in problem
    (root / "etc/services/index.yaml").write_text("environment: {DATA: /es}\n")
    index = elasticsearch(found(root))
    assert (index.data, index.url) == (Path("/es"), "http://127.0.0.9:9201")


def test_each_missing_file_is_one_problem_and_hides_no_other(root: Path) -> None:
    for name in ("services", "cassandra", "elasticsearch"):
        (root / "etc" / name).rename(root / "etc" / f"not-{name}")
    problems = look(root).problems
    for name in ("services", "cassandra.yaml", "elasticsearch.yml"):
        assert sum(name in problem for problem in problems) == 1
    assert all("\n" not in problem for problem in problems)


def test_without_thehives_own_file_nothing_is_said_of_servers_that_it_may_not_use(root: Path) -> None:
    for name in ("thehive", "cassandra", "elasticsearch"):
        (root / "etc" / name).rename(root / "etc" / f"not-{name}")
    (problem,) = look(root).problems
    assert problem.startswith(f"{root}/etc/thehive/application.conf: there is no such file")


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("thehive/application.conf", "provider: localfs", "provider: hdfs", "must be localfs or s3"),
        ("thehive/application.conf", "provider: localfs\n", "", "storage.provider is not set"),
        ("thehive/application.conf", "localfs.location", "localfs.other", "localfs.location is not set"),
        ("thehive/application.conf", "password: ${lab.password}", "", "storage.password is not set"),
        ("thehive/application.conf", "${lab.password}", "${nope}", "${nope}"),
        ("thehive/application.conf", "db {", "db { {", "application.conf:6: can't be read as HOCON"),
        ("cassandra/cassandra.yaml", "cluster_name", "\t", "cassandra.yaml:2: not valid YAML"),
        ("cassandra/cassandra.yaml", "127.7.0.1", "[a, b]", "8 (rpc_address): must be a single value"),
        ("cassandra/cassandra.yaml", "/var/lib/cassandra/hints", "hints", "database.hints: must be an absolute path"),
        ("elasticsearch/elasticsearch.yml", "  data: /var/lib/elasticsearch", "  logs: /x", "path.data is not set"),
        ("elasticsearch/elasticsearch.yml", "/var/lib/elasticsearch", "[/a, /b]", "only one is supported"),
    ],
)
def test_what_cant_be_told_is_one_clear_problem(root: Path, file: str, old: str, new: str, what: str) -> None:
    edit(root / "etc" / file, old, new)
    (problem,) = look(root).problems
    assert what in problem
    assert "s3cret" not in problem


def test_two_indices_are_a_problem(root: Path) -> None:
    (root / "etc/opensearch").mkdir()
    (root / "etc/opensearch/opensearch.yml").write_text(INDEX)
    (problem,) = look(root).problems
    assert "both exist" in problem


def test_the_repository_is_taken_as_given(root: Path) -> None:
    repository = {
        "url": "s3://bucket/prefix",
        "endpoint": "http://127.0.0.1:9100",
        "access_key": {"env": "A"},
        "secret_key": {"env": "S"},
    }
    config = discover(root, repository=repository).config
    assert config is not None
    assert (config.repository.url, config.repository.endpoint) == ("s3://bucket/prefix", "http://127.0.0.1:9100")
    assert config.name
