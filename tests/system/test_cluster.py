"""Three nodes of Cassandra and three of the index on hosts of their own: backed up and restored as one restore point.

One lab for the whole file: each test leaves it running, with its data. Its hosts are reached over a real SSH, with a
key each that runs nothing but that host's agent.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from propolis.config.load import load
from propolis.hosts.asking import coordinator_state
from propolis.run import read_journal
from propolis.run.lock import held
from propolis_lab.lab import Cluster, Options, spread
from propolis_lab.lab.disaster import lose_everything
from propolis_lab.proof import Proof, compare
from propolis_lab.proof.cluster import nodetool_of, repaired, snapshot_of_cluster
from propolis_lab.proof.connections import peers
from propolis_lab.servers import answers, cql
from system.command import Propolis

SILENCE = 10
WORDS = 20_000
"""More bytes than coordinator and host say to each other in a run, beats included; far less than a host's data."""


@dataclass(frozen=True)
class Scene:
    """A running cluster, Propolis on every host of it, and the recovery key."""

    cluster: Cluster
    propolis: Propolis
    key: Path
    folder: Path

    def pids(self) -> dict[str, tuple[int, ...]]:
        """The processes of every service: who has the same ones was not stopped."""
        return {
            f"{name}/{service}": tuple(lab.pids(service))
            for name, lab in self.cluster.hosts.items()
            for service in lab.services
        }

    def assert_serving(self) -> None:
        """Every node answers and knows the others, and TheHive works."""
        self.cluster.wait_for_stores()
        assert self.cluster.hive.answers("thehive")

    def assert_nothing_left(self) -> None:
        """No clone, no staging or aside folder, no open journal on any host."""
        assert list(self.cluster.root.rglob(".propolis-*")) == []
        assert all(is_settled(state) for state in states(self.cluster))

    def step(self, command: str, words: str) -> int:
        """The number, from 0, of the coordinator's first step whose title has these words."""
        titles = self.propolis.plan(command, *(("latest",) if command == "restore" else ()))
        return next(number for number, title in enumerate(titles) if words in title)

    def wait_until_recovered(self, timeout: float = 240) -> None:
        """Wait until every host has put everything right by itself; no human, no command."""
        deadline = time.monotonic() + timeout
        while open_ones := [state for state in states(self.cluster) if not is_settled(state)]:
            assert time.monotonic() < deadline, [(s / "watchdog.log").read_text() for s in open_ones]
            time.sleep(0.1)


def states(cluster: Cluster) -> list[Path]:
    """Where journals are: of each host, and of the coordinator."""
    own = [load(spread.config_of(lab)).state for lab in cluster.hosts.values()]
    return [*own, coordinator_state(load(spread.config_of(cluster.hive)))]


def is_settled(state: Path) -> bool:
    """Whether nothing is half done there, and nobody is at it."""
    journals = sorted((state / "journal").glob("*.jsonl"))
    if not journals:
        return True
    last = read_journal(journals[-1])
    return (last is None or not last.is_open) and not held(state)


def propolis(*arguments: object) -> None:
    """The command, as somebody types it while setting up."""
    command = [sys.executable, "-m", "propolis", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)


@pytest.fixture(scope="module")
def scene(lab_folder: Path) -> Iterator[Scene]:
    folder = lab_folder / "cluster"
    folder.mkdir(mode=0o755)
    try:
        with Cluster.up(folder / "hosts", Options(nodes=3, cases=8, attachments=40, reach="ssh")) as cluster:
            more: dict[str, Any] = {"silence": SILENCE, "restore": {"identity": str(folder / "recovery.key")}}
            config = spread.set_up(cluster, str(folder / "repository"), "cluster", **more)
            spread.register(cluster, folder / "recovery.key", propolis)
            yield Scene(cluster, Propolis(config), folder / "recovery.key", folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def backed_up(scene: Scene) -> Proof:
    """What the backup holds."""
    before = snapshot_of_cluster(scene.cluster)
    taken = scene.propolis.ok("backup", "--cold", "--json").json
    assert_moved_no_data(taken, scene.cluster)
    return before


@pytest.fixture(autouse=True)
def settled(scene: Scene) -> Iterator[None]:
    yield
    scene.assert_serving()
    scene.assert_nothing_left()


def assert_moved_no_data(result: dict[str, Any], cluster: Cluster) -> None:
    """The links of every host carried words only; what is stored went straight to the repository."""
    reports = {report["host"]: report for report in result["hosts"]}
    assert set(reports) == set(cluster.hosts)
    for name, report in reports.items():
        words = report["link_bytes_sent"] + report["link_bytes_received"]
        assert 0 < words < WORDS, (name, report)
        assert report["read"] > (10 * WORDS if name in cluster.nodes else 0), (name, report)


def test_a_node_that_lacks_a_write_is_noticed_by_the_proof(scene: Scene, backed_up: Proof) -> None:
    assert backed_up.nodes.items() >= {"replicas of thehive": "equal", "replicas of system_auth": "equal"}.items()
    assert [backed_up.nodes[f"database db{number}"][:3] for number in (1, 2, 3)] == ["UN "] * 3
    first, _, third = scene.cluster.nodes.values()
    nodetool_of(first, "disablehandoff")
    nodetool_of(third, "disablegossip")
    with cql.session(first.address, "cassandra", first.record.superuser_password) as session:
        session.execute("INSERT INTO thehive.txlog (key, column1, value) VALUES (0x01, 0x01, 0x01)")
    nodetool_of(third, "enablegossip")
    nodetool_of(first, "enablehandoff")
    scene.cluster.wait_for_stores()
    assert repaired(first)["thehive"] is False
    with scene.cluster.hive.cql() as session:  # at ALL, which repairs what it reads
        assert len(session.execute("SELECT * FROM thehive.txlog WHERE key = 0x01").all()) == 1
    assert repaired(first)["thehive"] is True


def test_every_service_comes_back_when_the_coordinator_is_killed_while_all_are_stopped(
    scene: Scene, backed_up: Proof
) -> None:
    before = scene.pids()
    scene.propolis.killed(scene.step("backup", "clone"), "after", "backup")
    scene.wait_until_recovered()
    scene.assert_serving()
    assert all(scene.pids()[name] != pids for name, pids in before.items()), "some service was not stopped"
    assert len(scene.propolis.ok("list", "--json").json) == 1


@pytest.mark.parametrize(
    "words",
    ["addresses of other nodes", "aside and the restored content in", "wait until all are ready"],
    ids=["staged", "swapped", "prepared"],
)
def test_a_restore_whose_coordinator_is_killed_before_the_verdict_is_undone_on_every_host(
    scene: Scene, backed_up: Proof, words: str
) -> None:
    scene.cluster.hive.seed(2, 5, seed=77)
    before = snapshot_of_cluster(scene.cluster)
    scene.propolis.killed(scene.step("restore", words), "after", "restore", "latest")
    scene.wait_until_recovered()
    assert compare(before, snapshot_of_cluster(scene.cluster)) == []


def test_lost_data_comes_back_equal_though_no_host_hears_the_verdict_of_a_killed_coordinator(
    scene: Scene, backed_up: Proof
) -> None:
    verdict = scene.step("restore", "that all hosts keep the restore")
    for lab in scene.cluster.hosts.values():
        lose_everything(lab)
    scene.propolis.killed(verdict, "after", "restore", "latest")
    scene.wait_until_recovered()
    assert compare(backed_up, snapshot_of_cluster(scene.cluster)) == []


def test_another_number_of_nodes_is_refused_before_anything_stops(scene: Scene, backed_up: Proof) -> None:
    before = scene.pids()
    text = scene.propolis.config_file.read_text()
    fewer = scene.folder / "fewer.yaml"
    fewer.write_text(without_host(text, "db3"))
    fewer.chmod(0o600)
    ran = Propolis(fewer).run("restore", "latest")
    assert "db3" in ran.one_clear_error(12)
    assert scene.pids() == before


def without_host(text: str, host: str) -> str:
    """A coordinator's configuration that lacks a host."""
    values = YAML(typ="safe").load(text)
    del values["hosts"][host]
    return json.dumps(values, default=str)


def test_restored_elsewhere_while_the_old_cluster_runs_no_node_knows_the_other_cluster(
    scene: Scene, backed_up: Proof
) -> None:
    old = scene.cluster
    options = Options(nodes=3, empty=True, like=str(old.root))
    with ExitStack() as stack:
        new = stack.enter_context(Cluster.up(scene.folder / "elsewhere", options))
        more: dict[str, Any] = {"silence": SILENCE, "restore": {"identity": str(scene.key)}}
        config = spread.set_up(new, str(scene.folder / "repository"), "cluster", **more)
        for lab in new.hosts.values():
            propolis(
                *("repository", "key", "add", f"new-{lab.record.host}", "--host"),
                *("--config", spread.config_of(lab), "--identity", scene.key),
            )
        Propolis(config).ok("restore", "latest")
        assert compare(backed_up, snapshot_of_cluster(new)) == []
        for ours, others in ((new, old), (old, new)):
            assert_no_word_between(ours, {lab.address for lab in others.hosts.values()})
        assert compare(backed_up, snapshot_of_cluster(old)) == []


def assert_no_word_between(cluster: Cluster, strangers: set[str]) -> None:
    """No process is connected with a stranger; what nodes know of others is looked at by the proof."""
    for lab in cluster.hosts.values():
        for service in lab.services:
            connected = peers(lab.pids(service))
            assert connected & strangers == set(), (lab.record.host, service)
    for name, lab in cluster.nodes.items():
        others = set(cluster.addresses) - {lab.address}
        assert others <= peers(lab.pids("database")), name
        assert others <= peers(lab.pids("index")), name
    password = cluster.hive.record.superuser_password
    assert answers.database_cluster(cluster.addresses, "cassandra", password)
