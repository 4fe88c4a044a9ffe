"""Several hosts' parts make one ordinary backup; anything else than exactly these parts makes none."""

import dataclasses
import datetime
import os
import random
from pathlib import Path
from typing import Any

import pytest

from propolis.clock import utc_now, utc_text
from propolis.errors import IntegrityError, PropolisError, RepositoryError
from propolis.repository import BackupSummary, Facts, Identity, Location, Repository, verify
from propolis.repository.format.part import parse_part_name, part_name
from propolis.repository.format.rules import check_entries
from propolis.repository.format.text import TextWriter
from propolis.repository.records.verdicts import Verdict, ask, give
from propolis.repository.storage.base import Retention
from propolis.repository.write.begin import begin, find_parent
from propolis.repository.write.compose import compose, drop_parts, load_part
from propolis.repository.write.publish import Publisher
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import Vault, fill, snapshot
from unit.repository.storage.served import remote

RUN = "20261127T120000Z-0a1b2c"
HOSTS = ("db1", "db2", "hive")


@dataclasses.dataclass
class Cluster:
    """Hosts, each with a folder of its own and the key of a host."""

    vault: Vault
    folders: dict[str, Path]

    def part(self, host: str, run: str = RUN, **facts: Any) -> str:
        options: dict[str, Any] = facts.pop("options", {})
        trees = facts.pop("trees", (f"database/{host}/data-0",))
        told = Facts(services=facts.pop("services", {}), facts=facts)
        with begin(Repository.open(self.vault.location, [self.vault.host_key]), "hive", **options) as writer:
            for tree in trees:
                writer.add_folder("database", tree, self.folders[host], Path(f"/data/{host}"))
            return writer.finish_part(run, host, told)

    def compose(self, names: Any, hosts: Any = HOSTS, run: str = RUN, **facts: Any) -> BackupSummary:
        with self.vault.host.lease("shared") as lease:
            return compose(self.vault.host, "hive", run, names, hosts, Facts(facts=facts), lease)

    def refuses(self, names: Any, match: str, **options: Any) -> None:
        """No backup is recorded of these parts, and the error says why in one line."""
        before = self.vault.host.names()
        with pytest.raises(IntegrityError, match=match) as caught:
            self.compose(names, **options)
        assert "\n" not in caught.value.what
        assert self.vault.host.names() == before


@pytest.fixture
def cluster(vault: Vault, tmp_path: Path) -> Cluster:
    folders = {host: fill(tmp_path / host, seed) for seed, host in enumerate(HOSTS)}
    return Cluster(vault, folders)


@pytest.fixture
def names(cluster: Cluster) -> list[str]:
    return [cluster.part(host) for host in HOSTS]


def test_parts_of_three_hosts_become_one_backup(cluster: Cluster, names: list[str], tmp_path: Path) -> None:
    vault = cluster.vault
    assert vault.host.names() == [], "without the manifest there is no backup"
    summary = cluster.compose(reversed(names))  # in whatever order they were reported
    manifest = vault.full.manifest(summary.id)
    assert [tree.host for tree in manifest.header.trees] == list(HOSTS)
    check_entries(manifest.header, manifest.entries())
    assert verify(vault.full, summary.id, "full").ok
    for host in HOSTS:
        tree = f"database/{host}/data-0"
        vault.restore(summary, tmp_path / f"{host}-again", tree)
        assert snapshot(tmp_path / f"{host}-again") == snapshot(cluster.folders[host])


def test_the_next_backup_reads_only_what_changed_on_any_host(cluster: Cluster, names: list[str]) -> None:
    first = cluster.compose(names)
    for host in HOSTS:
        with begin(cluster.vault.host, "hive", parent=first.id) as writer:
            writer.add_folder("database", f"database/{host}/data-0", cluster.folders[host], Path("/x"))
            writer.finish_part(RUN[:-1] + "d", host, Facts())
        assert writer.stats.read == 0
        assert writer.stats.unchanged > 40
    found = find_parent(cluster.vault.host, "hive", [])
    assert found is not None
    assert found.id == first.id


def test_facts_are_said_once_where_hosts_agree(cluster: Cluster) -> None:
    told: dict[str, dict[str, Any]] = {
        "db1": {"cluster_name": "c", "clone": {"database/db1/data-0": 1}, "tokens": 1, "warnings": ["old"]},
        "db2": {"cluster_name": "c", "clone": {"database/db2/data-0": 2}, "tokens": 2, "warnings": []},
        "hive": {"documents": 7},
    }
    services = {
        "db1": {"database": "cassandra 4.1.10"},
        "db2": {"database": "cassandra 4.1.10"},
        "hive": {"thehive": "5"},
    }
    names = [cluster.part(host, services=services[host], **told[host]) for host in HOSTS]
    facts = cluster.compose(names, downtime_seconds=3.5, warnings=["own"]).header
    assert facts.services == {"database": "cassandra 4.1.10", "thehive": "5"}
    assert facts.facts["cluster_name"] == "c"
    assert facts.facts["clone"] == {"database/db1/data-0": 1, "database/db2/data-0": 2}
    assert facts.facts["documents"] == 7
    assert facts.facts["downtime_seconds"] == 3.5
    assert facts.facts["warnings"] == ["db1: old", "own"]
    assert facts.facts["run"] == RUN
    assert facts.facts["last_reread"] == min(summary["started"] for summary in facts.facts["hosts"].values())
    assert {host: one.get("facts", {}) for host, one in facts.facts["hosts"].items()} == {
        "db1": {},
        "db2": {"tokens": 2},
        "hive": {},
    }


def test_what_only_one_host_found_is_in_the_backup(cluster: Cluster, names: list[str]) -> None:
    first = cluster.compose(names)
    victim = cluster.folders["db2"] / "text"
    status = victim.stat()
    victim.write_bytes(os.urandom(status.st_size))
    os.utime(victim, ns=(1, status.st_mtime_ns))
    again = []
    for host in HOSTS:
        with begin(cluster.vault.host, "hive", parent=first.id) as writer:
            writer.reread = host == "db2"
            writer.add_folder("database", f"database/{host}/data-0", cluster.folders[host], Path("/x"))
            again.append(writer.finish_part(RUN, host, Facts()))
    facts = cluster.compose(again).header.facts
    assert facts["altered"] == {"files": 1, "named": ["database/db2/data-0/text"]}
    assert facts["last_reread"] == first.header.facts["last_reread"], "two hosts read only what changed"


def test_a_part_that_was_not_read_whole_is_not_sealed(cluster: Cluster) -> None:
    with begin(cluster.vault.host, "hive") as writer:
        writer.add_folder("database", "database/db1/data-0", cluster.folders["db1"] / "nowhere", Path("/x"))
        with pytest.raises(PropolisError, match="could not be read completely"):
            writer.finish_part(RUN, "db1", Facts())
    assert cluster.vault.objects("parts") == []


# -- what is refused -----------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_in_a_part(cluster: Cluster, names: list[str]) -> None:
    path = cluster.vault.folder / names[1]
    whole = path.read_bytes()
    for at in {0, 1, len(whole) // 2, len(whole) - 1, *random.Random(7).sample(range(len(whole)), 12)}:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        cluster.refuses(names, "damaged|match")
    path.write_bytes(whole[:-1])
    cluster.refuses(names, "match its name")
    path.write_bytes(whole)
    cluster.compose(names)


def test_a_part_that_somebody_without_the_key_made(cluster: Cluster, names: list[str], tmp_path: Path) -> None:
    """Anybody can encrypt to the repository's public key, and name the result by its hash."""
    other = Repository.init(Location(str(tmp_path / "other")), [Identity.generate().recipient], Identity.generate())
    vault = cluster.vault
    part = load_part(vault.host, names[1])
    text = TextWriter(other.key)
    for line in part.lines():
        text.add(line)
    with vault.host.lease("shared") as lease:
        forged = Publisher(vault.host, vault.stats, lease).write_part(RUN, "db2", part.header.told, text)
    cluster.refuses([names[0], forged, names[2]], "not written by a holder of the repository's key")


def test_a_part_of_another_run(cluster: Cluster, names: list[str]) -> None:
    other = cluster.part("db2", run=RUN[:-1] + "d")
    cluster.refuses([names[0], other, names[2]], "a part of the run")
    renamed = other.replace(RUN[:-1] + "d", RUN)
    (cluster.vault.folder / other).rename(cluster.vault.folder / renamed)
    cluster.refuses([names[0], renamed, names[2]], "another run or host in its name")


def test_swapped_parts(cluster: Cluster, names: list[str]) -> None:
    """Two hosts' parts under each other's names, hashes and all."""
    folder = cluster.vault.folder
    swapped = [names[0], names[2].replace("-hive-", "-db2-"), names[1].replace("-db2-", "-hive-")]
    for old, new in zip(names, swapped, strict=True):
        (folder / new).write_bytes(
            (folder / (names[2] if new == swapped[1] else old if new == old else names[1])).read_bytes()
        )
    cluster.refuses(swapped, "another run or host in its name")


def test_one_too_few_and_one_too_many(cluster: Cluster, names: list[str]) -> None:
    cluster.refuses(names[:2], "The part of hive is missing")
    cluster.refuses([*names, cluster.part("db1", more=1)], "The host db1 has two parts")
    cluster.refuses(names, "the host hive, which has no part", hosts=HOSTS[:2])
    (cluster.vault.folder / names[0]).unlink()
    cluster.refuses(names, "missing")


def test_a_tree_of_two_hosts(cluster: Cluster, names: list[str]) -> None:
    double = cluster.part("db2", trees=("database/db2/data-0", "database/db1/data-0"))
    cluster.refuses([names[0], double, names[2]], "Both db1 and db2 have a tree database/db1/data-0")


def test_parts_based_on_different_backups(cluster: Cluster, names: list[str]) -> None:
    cluster.compose(names)
    again = [cluster.part(host, options={"parent": "latest" if host == "hive" else None}) for host in HOSTS]
    cluster.refuses(again, "based on different backups")


def test_an_entry_of_no_tree_of_the_part(cluster: Cluster, names: list[str]) -> None:
    vault = cluster.vault
    part, other = load_part(vault.host, names[1]), load_part(vault.host, names[0])
    text = TextWriter(vault.host.key)
    for line in other.lines():
        text.add(line)
    with vault.host.lease("shared") as lease:
        forged = Publisher(vault.host, vault.stats, lease).write_part(RUN, "db2", part.header.told, text)
    cluster.refuses([names[0], forged, names[2]], "a tree that is not its own")


def test_a_part_is_no_manifest_nor_the_reverse(cluster: Cluster, names: list[str]) -> None:
    vault = cluster.vault
    summary = cluster.compose(names)
    part = load_part(vault.host, names[0])
    digest = names[0][-64:]
    stamp = part.header.told.ended.replace("-", "").replace(":", "")
    (vault.folder / "manifests" / f"{stamp}-{digest}").write_bytes((vault.folder / names[0]).read_bytes())
    damaged: list[Any] = []
    assert [backup.id for backup in vault.host.backups(damaged=damaged)] == [summary.id]
    assert len(damaged) == 1
    manifest = vault.host.name(summary.id)
    posing = part_name(RUN, "db1", manifest[-64:])
    (vault.folder / posing).write_bytes((vault.folder / manifest).read_bytes())
    cluster.refuses([posing, *names[1:]], "header can't be understood")


@pytest.mark.parametrize("name", ["", "parts/x", "manifests/../parts", f"parts/{RUN}-../../x-{'0' * 64}", "config"])
def test_a_name_that_is_none(cluster: Cluster, names: list[str], name: str) -> None:
    cluster.refuses([*names[:2], name], "not the name of a part")
    with pytest.raises(IntegrityError):
        load_part(cluster.vault.host, name)


def test_a_lost_lease_records_nothing(cluster: Cluster, names: list[str]) -> None:
    with cluster.vault.host.lease("shared") as lease:
        cluster.vault.host.storage.delete(lease._name)
        with pytest.raises(RepositoryError, match="ran out"):
            compose(cluster.vault.host, "hive", RUN, names, HOSTS, Facts(), lease)
    assert cluster.vault.host.names() == []


def test_names_of_parts() -> None:
    for host in ("db1", "db-2", "a.b_c", "DB"):
        name = part_name(RUN, host, "0" * 64)
        assert parse_part_name(name) == (RUN, host, "0" * 64)
    for host in ("", "-x", ".", "a/b", "a b", "x" * 65):
        with pytest.raises(IntegrityError):
            part_name(RUN, host, "0" * 64)


def test_parts_go_once_they_are_recorded(cluster: Cluster, names: list[str]) -> None:
    cluster.compose(names)
    assert drop_parts(cluster.vault.host, names)
    assert cluster.vault.objects("parts") == []


# -- locked ----------------------------------------------------------------------------------------------------


class Locking(MemoryStorage):
    """A storage that locks what it stores, as a bucket with Object Lock does."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(objects)
        self.lock = self
        self.until = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
        self.dates = dict.fromkeys(objects, datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        self.asked: list[str] = []

    def reach(self) -> datetime.datetime:
        return self.until

    def require_lock(self) -> None:
        pass

    def put(self, name: str, data: Any, *, create: bool = False) -> None:
        self.put_until(name, data, self.until)

    def put_until(self, name: str, data: Any, until: datetime.datetime) -> None:
        super().put(name, data)
        self.dates[name] = until

    def retention(self, name: str) -> Retention | None:
        return Retention("COMPLIANCE", self.dates[name])

    def extend(self, names: Any, until: datetime.datetime) -> int:
        for name in names:
            self.asked.append(name)
            self.dates[name] = max(self.dates[name], until)
        return len(self.asked)


def sealed(cluster: Cluster) -> tuple[Locking, Repository, list[str]]:
    vault = cluster.vault
    storage = Locking({str(path.relative_to(vault.folder)): path.read_bytes() for path in vault.objects("")})
    repository = Repository(storage, [vault.host_key])
    names = []
    for host in HOSTS:
        with begin(repository, "hive", parent=None) as writer:
            writer.add_folder("database", f"database/{host}/data-0", cluster.folders[host], Path("/x"))
            names.append(writer.finish_part(RUN, host, Facts()))
    return storage, repository, names


@pytest.mark.parametrize("when", ["at once", "in the next period", "with a part that was only copied here"])
def test_all_that_a_locked_manifest_refers_to_is_locked_as_long(cluster: Cluster, when: str) -> None:
    storage, repository, names = sealed(cluster)
    assert {storage.dates[name] for name in names} == {storage.until}
    assert load_part(repository, names[0]).header.told.facts["locked_until"] == utc_text(storage.until)
    storage.asked.clear()
    if when == "in the next period":
        storage.until += datetime.timedelta(days=7)
    elif when != "at once":
        storage.dates[names[1]] += datetime.timedelta(days=1)
    with repository.lease("shared") as lease:
        summary = compose(repository, "hive", RUN, names, HOSTS, Facts(), lease)
    assert summary.header.facts["locked_until"] == utc_text(storage.until)
    needed = [name for name in storage.objects if name.startswith(("packs/", "indexes/", "keys/", "config", "manif"))]
    assert {storage.dates[name] for name in needed} == {storage.until}
    assert bool(storage.asked) is (when != "at once"), "no request is made for what the parts prove"


def test_no_backup_refers_to_a_pack_that_vanished(cluster: Cluster) -> None:
    storage, repository, names = sealed(cluster)
    storage.until += datetime.timedelta(days=7)
    del storage.objects[next(name for name in storage.objects if name.startswith("packs/"))]
    with repository.lease("shared") as lease, pytest.raises(IntegrityError, match="is missing"):
        compose(repository, "hive", RUN, names, HOSTS, Facts(), lease)
    assert repository.names() == []


def test_hosts_that_may_only_add_to_a_served_repository(tmp_path: Path) -> None:
    """Each over its own connection, as behind SSH: they seal, compose and decide, and can remove neither."""
    key, recovery = Identity.generate(), Identity.generate()
    first = remote(tmp_path / "served", append_only=True)
    first.prepare()
    Repository.create(first, [recovery.recipient], key, segment_bytes=1 << 20)
    folder = fill(tmp_path / "folder")

    def connected() -> Repository:
        return Repository(remote(tmp_path / "served", append_only=True), [key])

    coordinator = connected()
    run = f"{utc_now():%Y%m%dT%H%M%SZ}-0a1b2c"
    with coordinator.lease("shared") as lease:
        names = []
        for host in HOSTS:
            with begin(connected(), "hive", parent=None) as writer:
                writer.add_folder("database", f"database/{host}/data-0", folder, Path("/x"))
                names.append(writer.finish_part(run, host, Facts()))
        summary = compose(coordinator, "hive", run, names, HOSTS, Facts(), lease)
    assert verify(Repository.open(Location(str(tmp_path / "served")), [recovery]), summary.id, "full").ok
    assert not drop_parts(coordinator, names)
    wishes: tuple[Verdict, ...] = ("undo", "keep")
    assert [give(connected(), run, wish) for wish in wishes] == ["undo", "undo"]
    with pytest.raises(RepositoryError):
        coordinator.storage.put(f"verdicts/{run}", b"{}")
    assert ask(connected(), run) == "undo"
