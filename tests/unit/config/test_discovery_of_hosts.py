"""A stack on several hosts: each is found by what is on it, with TheHive's file or without."""

from pathlib import Path
from typing import Any

import pytest

from propolis.config.discovery.alone import told_to_others
from propolis.config.discovery.stack import Discovery, discover
from propolis.config.fields import SecretRef
from propolis.config.load import load
from propolis.config.sample import render
from propolis.config.schema import Config
from sections import cassandra, elasticsearch
from unit.config.stack_files import edit, found

OTHERS = "198.51.100.7", "198.51.100.8"
"""Kept for documentation: no host has them."""

SEEDS = """
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "10.0.0.1, 10.0.0.2,10.0.0.3"
"""


@pytest.fixture
def bare(root: Path) -> Path:
    """A host that doesn't have TheHive."""
    (root / "etc/thehive/application.conf").unlink()
    return root


def on_host(root: Path, **more: Any) -> Discovery:
    return discover(root, repository={"url": "/backup"}, name="lab", host="db1", **more)


def config_of(discovery: Discovery) -> Config:
    assert discovery.problems == ()
    assert discovery.config is not None
    return discovery.config


def test_servers_on_other_hosts_are_left_out_where_this_one_has_a_name(root: Path) -> None:
    for name in ("hostname: [${lab.address}]\n", "hostname: [${lab.address}],"):
        edit(root / "etc/thehive/application.conf", name, name.replace("${lab.address}", f'"{OTHERS[0]}"'))
    discovery = on_host(root)
    config = config_of(discovery)
    assert (config.host, config.database, config.index) == ("db1", None, None)
    assert config.thehive is not None
    assert [warning for warning in discovery.warnings if "propolis host add" in warning] != []


def test_a_node_of_a_cluster_is_found_with_the_number_of_nodes_that_thehive_names(root: Path) -> None:
    edit(
        root / "etc/thehive/application.conf",
        "hostname: [${lab.address}]\n",
        f'hostname: [${{lab.address}}, "{OTHERS[0]}", "{OTHERS[1]}:9042"]\n',
    )
    config = config_of(on_host(root))
    assert cassandra(config).nodes == 3
    assert elasticsearch(config).nodes == 1


def test_a_host_without_thehive_has_the_servers_whose_files_are_there(bare: Path) -> None:
    with (bare / "etc/cassandra/cassandra.yaml").open("a") as file:
        file.write(SEEDS)
    with (bare / "etc/elasticsearch/elasticsearch.yml").open("a") as file:
        file.write("discovery.seed_hosts: [10.0.0.1, 10.0.0.2]\n")
    discovery = on_host(bare)
    config = config_of(discovery)
    assert (config.thehive, config.files) == (None, None)
    assert cassandra(config).nodes == 3
    assert cassandra(config).host == "127.7.0.1"
    assert (elasticsearch(config).nodes, elasticsearch(config).url) == (2, "http://127.7.0.1:9201")
    (bare / "propolis.yaml").write_text(render(config, discovery.notes))
    assert load(bare / "propolis.yaml") == config


def test_one_server_alone_is_enough(bare: Path) -> None:
    (bare / "etc/elasticsearch/elasticsearch.yml").unlink()
    config = config_of(on_host(bare))
    assert config.cassandra is not None
    assert config.index is None


def test_a_host_with_no_server_is_told_so(bare: Path) -> None:
    (bare / "etc/elasticsearch/elasticsearch.yml").unlink()
    (bare / "etc/cassandra/cassandra.yaml").unlink()
    (warning,) = on_host(bare).warnings
    assert "has no configuration of a server" in warning


def test_without_a_name_a_stack_without_thehive_is_not_found(bare: Path) -> None:
    discovery = discover(bare, repository={"url": "/backup"})
    assert "application.conf: there is no such file" in discovery.problems[0]


@pytest.mark.parametrize("login", [True, False])
def test_what_thehives_file_says_is_known_on_other_hosts(root: Path, tmp_path: Path, *, login: bool) -> None:
    if not login:
        edit(root / "etc/thehive/application.conf", "username: thehive", "")
    known = told_to_others(found(root))
    assert "s3cret#x" not in str(known)
    edit(
        root / "etc/cassandra/cassandra.yaml",
        "listen_address",
        "authenticator: PasswordAuthenticator\nlisten_address",
    )
    (root / "etc/thehive/application.conf").unlink()
    discovery = on_host(root, known=known)
    section = cassandra(config_of(discovery))
    assert section.keyspace == "hive"
    assert elasticsearch(config_of(discovery)).prefix == "myhive"
    expected = ("thehive", SecretRef(file=root / "etc/propolis/database.password")) if login else (None, None)
    assert (section.username, section.password) == expected
    assert any("it asks for a login" in warning for warning in discovery.warnings) != login


def test_a_server_that_asks_for_tls_is_followed_by_hand(bare: Path) -> None:
    with (bare / "etc/cassandra/cassandra.yaml").open("a") as file:
        file.write("client_encryption_options: {enabled: true}\n")
    discovery = on_host(bare)
    assert config_of(discovery).cassandra is not None
    assert any("Add database.tls to propolis.yaml" in warning for warning in discovery.warnings)
