"""A stack on several hosts: each has only the sections of what it runs, and one of them reaches the others."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from propolis.config.hosts import HostConfig, PodRef
from propolis.config.load import load
from propolis.config.sample import json_schema, render, sample
from propolis.config.schema import Config, FolderFiles
from propolis.errors import ConfigError
from sections import with_everything

HOSTS = """
hosts:
  db2: {ssh: backup@db2.example}
  db3: {command: [/usr/bin/env, propolis, agent]}
  db4: {container: propolis-db4}
  db5: {pod: {namespace: hive, pod: db-5, container: propolis}}
"""


@pytest.fixture
def whole(tmp_path: Path) -> Config:
    return read(tmp_path, sample())


def read(folder: Path, text: str) -> Config:
    file = folder / "propolis.yaml"
    file.write_text(text)
    return load(file)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read(folder, text)
    return [line.removeprefix(f"{folder}/propolis.yaml:") for line in refused.value.what.splitlines()]


def without(section: str, text: str) -> str:
    found = re.sub(rf"\n{section}:\n(?:(?:  .*)?\n)+?\n", "\n", text)
    assert found != text
    return found


def spread(config: Config, *leave_out: str, **more: Any) -> Config:
    values = {key: value for key, value in config.model_dump(mode="json").items() if key not in leave_out}
    return Config.model_validate({**values, "host": "db1", **more})


@pytest.mark.parametrize("section", ["thehive", "database", "index", "files"])
def test_a_section_may_be_left_out_only_where_the_host_has_a_name(tmp_path: Path, section: str) -> None:
    text = without(section, sample())
    (line,) = mistakes(tmp_path, text)
    assert line.startswith(f"1: {section}: missing (")
    named = read(tmp_path, without("files", text) + "\nhost: db1\n") if section == "thehive" else None
    assert (named or read(tmp_path, text + "\nhost: db1\n")).host == "db1"


def test_a_missing_section_hides_no_other_mistake(tmp_path: Path) -> None:
    text = without("files", sample()).replace("  # port: 9042", "  port: 99999")
    assert [line.split(": ")[1] for line in mistakes(tmp_path, text)] == ["files", "database.port"]


def test_a_host_has_a_name_that_can_stand_in_a_trees(tmp_path: Path) -> None:
    for name in ("-oProxyCommand=x", "a/b", "..", ".", "a b", '"a\\n"', '""', "x" * 65):
        (line,) = mistakes(tmp_path, f"{sample()}\nhost: {name}\n")
        assert ": host: " in line


def test_each_way_to_reach_a_host_becomes_one_command(tmp_path: Path) -> None:
    hosts = read(tmp_path, f"{sample()}\nhost: hive\n{HOSTS}").hosts
    assert {name: " ".join(host.argv) for name, host in hosts.items()} == {
        "db2": "ssh -T -oBatchMode=yes -oServerAliveInterval=5 backup@db2.example propolis agent",
        "db3": "/usr/bin/env propolis agent",
        "db4": "docker exec -i propolis-db4 propolis agent",
        "db5": "kubectl exec -i -n hive db-5 -c propolis -- propolis agent",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("db2: {ssh: a, container: b}", "hosts.db2: a host has exactly one of ssh, pod, container, command"),
        ("db2: {}", "hosts.db2: a host has exactly one of ssh, pod, container, command"),
        ("db2: {ssh: -oProxyCommand=evil}", "hosts.db2.ssh: must be a host as ssh takes it, e.g. db2.example"),
        ('db2: {ssh: "a b"}', "hosts.db2.ssh: must be a host as ssh takes it"),
        ("db2: {container: --privileged}", "hosts.db2.container: not allowed like this (A Docker container"),
        ("db2: {shh: a}", "hosts.db2.shh: unknown key; did you mean `ssh`?"),
        ("db2: {pod: {namespace: a, pod: b}}", "hosts.db2.pod.container: missing (The container in it"),
        ("db2: {command: []}", "hosts.db2.command: "),
        ("-x: {ssh: a}", "hosts.-x: "),
        ("hive: {ssh: a}", "hosts names hive, which is this host; it lists only others"),
    ],
)
def test_a_mistake_in_hosts_names_its_line_and_its_key(tmp_path: Path, text: str, said: str) -> None:
    (line,) = mistakes(tmp_path, f"host: hive\nhosts:\n  {text}\n{sample()}")
    assert said in line
    assert line.startswith(("3: ", "1: the file: hosts names"))


def test_whoever_coordinates_others_has_a_name_itself(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, sample() + HOSTS)
    assert "hosts needs host: what this host itself is called" in line


def test_folders_of_thehives_own_are_where_it_is(whole: Config) -> None:
    for name, section in (
        ("files", {"kind": "folder", "folder": "/files"}),
        ("database", {"kind": "berkeleyje", "folder": "/database"}),
        ("index", {"kind": "lucene", "folder": "/index"}),
    ):
        with pytest.raises(ValidationError, match=f"{name} is a folder of TheHive's"):
            spread(whole, "thehive", "files", **{name: section})
    with pytest.raises(ValidationError, match="files is read by TheHive's host"):
        spread(whole, "thehive", "files", files={"kind": "s3", "bucket": "b"})
    minio = with_everything(whole)
    assert spread(minio, "thehive", "database", "index", "cortex").minio == minio.minio


def test_cortex_may_use_an_index_on_another_host(whole: Config) -> None:
    cortex = {"url": "http://127.0.0.1:9001", "config": "/etc/cortex"}
    assert spread(whole, "thehive", "database", "index", "files", cortex=cortex).cortex is not None


def test_a_host_says_what_its_coordinator_may_do(tmp_path: Path) -> None:
    assert read(tmp_path, sample()).agent.allow == ("backup", "restore")
    assert read(tmp_path, f"{sample()}\nagent: {{allow: [backup]}}\n").agent.allow == ("backup",)
    (line,) = mistakes(tmp_path, f"{sample()}\nagent: {{allow: [everything]}}\n")
    assert "agent.allow.0: must be 'backup' or 'restore'" in line
    assert read(tmp_path, f"{sample()}\nsilence: 1\n").silence == 1
    assert mistakes(tmp_path, f"{sample()}\nsilence: 0.5\n")


WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
ONE = st.one_of(
    WORDS.map(lambda text: HostConfig(ssh=text)),
    WORDS.map(lambda text: HostConfig(container=text)),
    st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=3).map(
        lambda argv: HostConfig(command=tuple(argv))
    ),
    st.just(HostConfig(pod=PodRef(namespace="a", pod="b-1", container="c"))),
)


@given(hosts=st.dictionaries(WORDS.map(lambda name: f"h{name}"), ONE, max_size=3))
def test_what_is_written_of_hosts_reads_the_same(
    hosts: dict[str, HostConfig], tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = Config.model_validate(load_sample(tmp_path_factory).model_dump(mode="json"))
    config = whole.model_copy(update={"host": "coordinator", "hosts": hosts, "thehive": None, "files": None})
    file = tmp_path_factory.mktemp("hosts") / "propolis.yaml"
    file.write_text(render(config, {}))
    assert load(file) == config


def load_sample(factory: pytest.TempPathFactory) -> Config:
    return read(factory.mktemp("sample"), sample())


def test_a_host_with_few_services_shows_what_it_lacks_as_comments(whole: Config) -> None:
    text = render(spread(whole, "thehive", "files"), {})
    assert "\n# The TheHive service. This host has none.\n# thehive:\n#   # Base URL" in text
    assert "\n# thehive:\n" in text
    assert isinstance(whole.files, FolderFiles)


def test_the_schema_says_what_is_required_without_a_host() -> None:
    assert json.loads(json_schema())["anyOf"] == [
        {"required": ["thehive", "database", "index", "files"]},
        {"required": ["host"]},
    ]
