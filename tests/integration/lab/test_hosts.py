"""A lab of several hosts before anything is started: what each has, and how the coordinator reaches it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from propolis.config.load import load
from propolis_lab.lab import Cluster, Options, spread
from propolis_lab.programs import artefacts


@pytest.fixture(scope="module")
def cluster(lab_folder: Path) -> Iterator[Cluster]:
    with Cluster.up(lab_folder / "hosts", Options(nodes=3, empty=True, reach="ssh")) as made:
        spread.set_up(made, str(lab_folder / "repository"), "scene", silence=12)
        yield made
    claims = [path.read_text() for path in (artefacts.cache() / "claims").iterdir()]
    assert not any(claim.startswith(str(made.root)) for claim in claims)
    assert not made.root.exists()


def test_each_host_has_an_address_of_its_own_and_the_services_that_it_should(cluster: Cluster) -> None:
    assert list(cluster.hosts) == ["hive", "db1", "db2", "db3"]
    assert len({lab.address for lab in cluster.hosts.values()}) == 4
    assert cluster.hive.services == ("thehive",)
    assert all(lab.services == ("database", "index") for lab in cluster.nodes.values())
    assert len({lab.record.superuser_password for lab in cluster.hosts.values()}) == 1
    opened = Cluster.open(cluster.root)
    assert {name: lab.record for name, lab in opened.hosts.items()} == {
        name: lab.record for name, lab in cluster.hosts.items()
    }


def test_each_configuration_has_only_what_is_on_its_host(cluster: Cluster) -> None:
    hive = load(spread.config_of(cluster.hive))
    assert hive.host == "hive"
    assert list(hive.hosts) == ["db1", "db2", "db3"]
    assert hive.thehive is not None
    assert (hive.database, hive.index) == (None, None)
    for name, lab in cluster.nodes.items():
        config = load(spread.config_of(lab))
        assert config.host == name
        assert config.silence == 12
        assert (config.thehive, config.files) == (None, None)
        assert config.require_cassandra().nodes == config.require_elasticsearch().nodes == 3
        assert config.require_cassandra().host == lab.address
        assert hive.hosts[name].argv == tuple(spread.reached_by(cluster, name))


def test_the_way_over_ssh_ends_in_that_hosts_agent_and_nothing_else(cluster: Cluster) -> None:
    for name, lab in cluster.nodes.items():
        authorized = (lab.sshd.folder / "authorized_keys").read_text()
        assert authorized.startswith(f'restrict,command="{" ".join(spread.agent(lab))}" ssh-ed25519 ')
        command = [*spread.reached_by(cluster, name), "touch", str(lab.root / "made")]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
        assert done.returncode != 255, done.stderr  # SSH's own failure
        assert not (lab.root / "made").exists()


def test_two_clusters_have_other_addresses_but_the_passwords_of_the_one_they_are_like(
    cluster: Cluster, lab_folder: Path
) -> None:
    second = Cluster.up(lab_folder / "like", Options(nodes=3, empty=True, like=str(cluster.root)))
    with second, Cluster.up(lab_folder / "other", Options(nodes=3, empty=True)) as other:
        addresses = {lab.address for made in (cluster, second, other) for lab in made.hosts.values()}
        assert len(addresses) == 12
        assert second.hive.record.superuser_password == cluster.hive.record.superuser_password
        assert other.hive.record.superuser_password != cluster.hive.record.superuser_password
