"""The backup's own settings are read as TheHive read them there, and nothing of this host gets into them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.errors import ConfigError, PropolisError
from propolis.repository import Facts, Identity, Location, Repository
from propolis.repository.write.begin import begin
from propolis.restore.backed_up import index_users_file, settings, settings_of

PASSWORD = "db.janusgraph.storage.password"
MAIN = 'db.janusgraph { storage { username = "thehive", password = "there" } }\n'


@pytest.mark.parametrize(
    ("main", "others"),
    [
        (MAIN, {}),
        ('include "/etc/thehive/secret.conf"\n', {"secret.conf": MAIN}),
        ('include "secret"\n', {"secret.conf": MAIN}),
        ('include required(file("/etc/thehive/conf.d/secret.conf"))\n', {"conf.d/secret.conf": MAIN}),
        ('include "conf.d/a.conf"', {"conf.d/a.conf": 'include "b.conf"', "conf.d/b.conf": MAIN}),
        ('db.janusgraph { include "storage.conf" }', {"storage.conf": '{ storage { password = "there" } }'}),
        ('db.janusgraph {\n  include "s.json"\n}', {"s.json": '{"storage": {"password": "there"}}'}),
        ('include classpath("reference.conf")\n' + MAIN, {}),
        ('include "/etc/thehive/not-there.conf"\n' + MAIN, {}),
        ('# include "/etc/elsewhere/x.conf"\n' + MAIN, {}),
        ("secret = there\ndb.janusgraph.storage.password = ${secret}\n", {}),
        (MAIN + "db.janusgraph.storage.password = ${?CASSANDRA_PASSWORD}\n", {}),
        ("other = ${NOT_SET}\n" + MAIN, {}),
    ],
)
def test_the_password_is_found_as_thehive_finds_it(
    main: str, others: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASSANDRA_PASSWORD", "of this host")
    assert settings_of({"application.conf": main, **others}, "/etc/thehive").text(PASSWORD) == "there"


@pytest.mark.parametrize(
    "include",
    ['include "{file}"', 'include file("{file}")', 'include required("{file}")', 'a {{ include "{file}" }}',
     'include url("file://{file}")', 'a = 1, include "{file}"', 'include "../../{file}"'],
)  # fmt: skip
def test_a_file_of_this_host_is_never_read(include: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.conf"
    file.write_text('db.janusgraph.storage.password = "of this host"\n')
    text = include.format(file=file) + "\n"
    try:
        found = settings_of({"application.conf": text}, "/etc/thehive").text(PASSWORD)
    except ConfigError:
        return
    assert found is None


def test_the_environment_of_this_host_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASSANDRA_PASSWORD", "of this host")
    found = settings_of({"application.conf": f"{PASSWORD} = ${{CASSANDRA_PASSWORD}}\n"}, "/etc/thehive")
    with pytest.raises(ConfigError, match="CASSANDRA_PASSWORD"):
        found.text(PASSWORD)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({}, "holds no config/thehive/application.conf"),
        ({"application.conf": 'include "application.conf"'}, "included by itself"),
        ({"application.conf": 'include required("other.conf")'}, "other.conf, which the backup does not hold"),
    ],
)
def test_what_can_not_be_had_is_told(files: dict[str, str], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        settings_of(files, "/etc/thehive")


@given(st.text(alphabet='abc{}[]"=.,:\n include$?#/()', max_size=200))
def test_whatever_the_text_only_a_config_error_comes_out(text: str) -> None:
    with contextlib.suppress(ConfigError):
        settings_of({"application.conf": text, "a": text, "b.conf": "b = 1"}, "/etc/thehive").text(PASSWORD)


def test_it_is_read_out_of_a_repository_with_the_recovery_key_alone(tmp_path: Path) -> None:
    folder = tmp_path / "thehive"
    folder.mkdir()
    (folder / "application.conf").write_text(f'include "{folder}/secret.conf"\nlarge = "{"x" * 5000}"\n')
    (folder / "secret.conf").write_text(MAIN)
    (folder / "unread.bin").write_bytes(bytes(5 << 20))
    index = tmp_path / "index"
    index.mkdir()
    (index / "users").write_text("admin:hash\n")
    host, recovery = Identity.generate(), Identity.generate()
    location = Location(str(tmp_path / "repository"))
    with begin(Repository.init(location, [recovery.recipient], host), "hive") as writer:
        writer.add_folder("config", "config/thehive", folder, folder)
        writer.add_folder("config", "config/index", index, index)
        backup = writer.commit(Facts()).id
    opened = Repository.open(location, [host, recovery])
    assert settings(opened, opened.manifest(backup)).text(PASSWORD) == "there"
    assert index_users_file(opened, opened.manifest(backup)) == "admin:hash\n"
    without = Repository.open(location, [host])
    with pytest.raises(PropolisError):
        settings(without, without.manifest(backup))
