"""Every mistake in propolis.yaml is one line that names file, line and key, and never a value."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.config.load import load, read_yaml
from propolis.config.sample import sample
from propolis.config.schema import BerkeleyConfig, FolderFiles, LuceneConfig, S3Files
from propolis.errors import ConfigError
from sections import cassandra

SECRET = "hunter2-never-shown"


def write(folder: Path, text: str) -> Path:
    file = folder / "propolis.yaml"
    file.write_text(text)
    return file


def mistakes(folder: Path, text: str) -> list[str]:
    """Lines of the error, without the file's name before them."""
    file = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.exit_code == 10
    lines = caught.value.what.splitlines()
    assert all(line.startswith(f"{file}:") for line in lines)
    return [line.removeprefix(f"{file}:") for line in lines]


def changed(old: str, new: str) -> str:
    """The sample with one piece replaced, and the line on which the replacement begins."""
    text = sample()
    assert text.count(old) == 1
    return text.replace(old, new)


def line_with(text: str, piece: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if piece in line)


def test_the_sample_is_a_valid_configuration(tmp_path: Path) -> None:
    config = load(write(tmp_path, sample()))
    assert cassandra(config).port == 9042
    assert isinstance(config.files, FolderFiles)
    assert config.timeouts.start > config.timeouts.stop > 0


@pytest.mark.parametrize("url", ["s3://", "s3:///", "s3:///hive"])
@pytest.mark.parametrize("key", ["repository.url", "repository.copies.0.url"])
def test_a_repository_in_a_bucket_names_the_bucket(tmp_path: Path, key: str, url: str) -> None:
    copy = (
        f"{url}\n  copies: [{{url: /backup}}]"
        if key == "repository.url"
        else f"/backup\n  copies: [{{url: '{url}'}}]"
    )
    text = re.sub(r"(?m)^  url: /backup\S*$", f"  url: {copy}", sample())
    assert [line.partition(": ")[2] for line in mistakes(tmp_path, text)] == [
        f"{key}: has no bucket name; write s3://bucket or s3://bucket/prefix"
    ]


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://bucket/hive"])
def test_a_prefix_in_the_bucket_is_optional(tmp_path: Path, url: str) -> None:
    text = re.sub(r"(?m)^  url: /backup\S*$", f"  url: {url}", sample())
    assert load(write(tmp_path, text)).repository.url == url


def test_without_a_kind_database_and_index_are_servers_as_in_older_files(tmp_path: Path) -> None:
    text = sample().replace("  kind: cassandra\n", "").replace("  kind: elasticsearch\n", "")
    assert "kind: folder" in text
    assert text.count("kind:") == 2  # the platform's is the other
    assert load(write(tmp_path, text)) == load(write(tmp_path, sample()))


def test_a_database_and_an_index_may_lie_in_folders_of_thehives_own(tmp_path: Path) -> None:
    text = re.sub(r"\ndatabase:\n(.*\n)+?\n", "\ndatabase: {kind: berkeleyje, folder: /d/database}\n", sample())
    text = re.sub(r"\nindex:\n(.*\n)+?\n", "\nindex: {kind: lucene, folder: /d/index}\n", text)
    config = load(write(tmp_path, text))
    assert config.database == BerkeleyConfig(folder=Path("/d/database"))
    assert config.index == LuceneConfig(folder=Path("/d/index"))
    assert (config.cassandra, config.elasticsearch) == (None, None)


@pytest.mark.parametrize("kind", ["hbase", "[a]", "{a: b}", "1", "null"])
def test_a_database_of_an_unknown_kind_is_refused_with_those_that_are_known(tmp_path: Path, kind: str) -> None:
    text = changed("  kind: cassandra", f"  kind: {kind}")
    (line,) = mistakes(tmp_path, text)
    assert line == (f"{line_with(text, f'  kind: {kind}')}: database.kind: must be one of 'cassandra', 'berkeleyje'")


def test_a_key_of_a_server_is_unknown_to_a_folder(tmp_path: Path) -> None:
    text = re.sub(r"\nindex:\n(.*\n)+?\n", "\nindex: {kind: lucene, folder: /d, url: 'http://a'}\n", sample())
    (line,) = mistakes(tmp_path, text)
    assert line == f"{line_with(text, 'index:')}: index.url: unknown key; allowed are: folder, kind"


def test_unknown_key_names_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    text = changed("  cluster_name: thp", "  cluster_name: thp\n  comitlog: /x")
    (line,) = mistakes(tmp_path, text)
    assert line == f"{line_with(text, 'comitlog')}: database.comitlog: unknown key; did you mean `commitlog`?"


def test_unknown_key_unlike_any_lists_the_allowed_ones(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, changed("platform:", "zzz: 1\nplatform:"))
    assert "zzz: unknown key; allowed are: agent, cortex, database, files, host, hosts, index, minio, name" in line


def test_missing_key_names_its_section_and_meaning(tmp_path: Path) -> None:
    text = changed("  hints: /var/lib/cassandra/hints\n", "")
    (line,) = mistakes(tmp_path, text)
    assert line == f"{line_with(text, 'database:')}: database.hints: missing (hints_directory)"


def test_all_mistakes_are_listed_in_the_order_of_lines(tmp_path: Path) -> None:
    text = changed("\nname: thehive", "\nname: the hive")
    text = text.replace("  # port: 9042", "  port: 99999")
    text = text.replace("  data: /var/lib/elasticsearch", "  data: var/lib/elasticsearch")
    lines = mistakes(tmp_path, text)
    assert [line.split(": ")[1] for line in lines] == ["name", "database.port", "index.data"]
    assert "65535" in lines[1]
    assert "absolute" in lines[2]


def test_a_password_written_where_a_reference_belongs_is_refused_and_not_shown(tmp_path: Path) -> None:
    text = changed(
        "  password:\n    hocon: /etc/thehive/application.conf#db.janusgraph.storage.password",
        f"  password: {SECRET}",
    )
    (line,) = mistakes(tmp_path, text)
    assert "database.password: must hold keys" in line
    assert SECRET not in line


@pytest.mark.parametrize(
    "text",
    [
        f"a: 1\na: {SECRET}",
        f"a: *{SECRET}",
        f"a: @{SECRET}",
        f"password: '{SECRET}",
        f"password: {SECRET}: x",
        f'password: "{SECRET}\\q"',
        f"%{SECRET}",
        f"a: !!{SECRET} x",
        f"- {SECRET}",
        f"{SECRET}",
        f"password: {SECRET}\nname: [",
        f"{{password: {SECRET}, name: }}}}",
    ],
)
def test_no_message_shows_a_value_of_the_file(tmp_path: Path, text: str) -> None:
    for line in mistakes(tmp_path, text):
        assert SECRET not in line


def test_a_secret_reference_has_exactly_one_kind(tmp_path: Path) -> None:
    two = changed("    hocon: /etc/thehive", "    env: PASSWORD\n    hocon: /etc/thehive")
    (line,) = mistakes(tmp_path, two)
    assert "database.password: a secret reference has exactly one of file, env, credential, hocon" in line


def test_user_name_without_password_is_refused(tmp_path: Path) -> None:
    text = changed("  url: http://127.0.0.1:9200", "  url: http://127.0.0.1:9200\n  username: elastic")
    (line,) = mistakes(tmp_path, text)
    assert "index: username and password go together" in line


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("127.0.0.1:9200", "begins with http"),
        ("http://elastic:pw@127.0.0.1:9200", "user name or password"),
        ("ftp://x", "begins with http"),
    ],
)
def test_an_url_is_plain_http_without_login(tmp_path: Path, url: str, what: str) -> None:
    (line,) = mistakes(tmp_path, changed("  url: http://127.0.0.1:9200", f"  url: {url}"))
    assert "index.url" in line
    assert what in line
    assert "pw" not in line


def test_files_of_an_unknown_kind_name_the_allowed_ones(tmp_path: Path) -> None:
    text = changed("  kind: folder", "  kind: nfs")
    assert mistakes(tmp_path, text) == [f"{line_with(text, 'kind: nfs')}: files.kind: must be one of 'folder', 's3'"]


def test_keys_of_a_bucket_are_checked_as_a_bucket(tmp_path: Path) -> None:
    text = changed("  kind: folder\n", "  kind: s3\n").replace(
        "  folder: /opt/thp/thehive/files", "  bucket: thehive\n  secret_key: {env: K}"
    )
    (line,) = mistakes(tmp_path, text)
    assert "files: access_key and secret_key go together" in line
    config = load(write(tmp_path, text.replace("{env: K}", "{env: K}\n  access_key: {env: A}")))
    assert isinstance(config.files, S3Files)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("name: a\nname: b\n", 2, "this key occurs twice"),
        ("name: [a\n", 2, "not valid YAML"),
        ("name: a\n\tstate: b\n", 2, "not valid YAML"),
        ("- a\n", 1, "must hold keys"),
        ("just text\n", 1, "must hold keys"),
    ],
)
def test_malformed_yaml_names_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(f"{line}: ")
    assert what in found


def test_an_empty_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="propolis init"):
        load(write(tmp_path, "# nothing\n"))


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: can't be read: No such file.*propolis init.*--config"):
        load(tmp_path / "absent.yaml")


def test_bytes_that_are_no_text_name_their_line(tmp_path: Path) -> None:
    file = tmp_path / "propolis.yaml"
    file.write_bytes(b"name: a\nstate: \xff\n")
    with pytest.raises(ConfigError, match=":2: not UTF-8"):
        load(file)


@settings(deadline=None)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_whatever_the_text_only_a_config_error_comes_out(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load(file)


@settings(deadline=None)
@given(data=st.data())
def test_a_sample_with_any_line_missing_loads_or_is_a_config_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = sample().splitlines()
    gone = data.draw(st.integers(0, len(lines) - 1))
    file = tmp_path_factory.getbasetemp() / "less.yaml"
    file.write_text("\n".join(lines[:gone] + lines[gone + 1 :]))
    try:
        load(file)
    except ConfigError as error:
        assert all(line.startswith(f"{file}:") for line in error.what.splitlines())


def test_files_of_services_are_read_with_duplicate_keys_refused(tmp_path: Path) -> None:
    file = tmp_path / "cassandra.yaml"
    file.write_text("cluster_name: a\nnum_tokens: 1\ncluster_name: b\n")
    with pytest.raises(ConfigError, match=r"cassandra\.yaml:3"):
        read_yaml(file)
