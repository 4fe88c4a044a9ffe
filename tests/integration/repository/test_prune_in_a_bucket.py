"""Prune, holds and leases on a real MinIO."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import BusyError
from propolis.repository import Facts, Identity, Location, Repository, restore_folder, verify
from propolis.repository.access.leases import leases, unlock
from propolis.repository.maintenance.prune import prune
from propolis.repository.records.marks import add_hold, read_marks, record_verification, release_holds
from propolis.repository.write.begin import begin
from propolis_lab.servers.minio import S3Server, run
from unit.repository.repository_tools import TREE

RULES = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, min_fill=100, grace_hours=0)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with run("minio") as found:
        yield found


def new_bucket(server: S3Server) -> Location:
    bucket = f"test-{secrets.token_hex(6)}"
    server.make_bucket(bucket)
    return Location(
        f"s3://{bucket}/some/prefix", server.endpoint, server.region, server.keys.access, server.keys.secret
    )


def test_a_bucket_is_pruned_and_repacked_and_the_rest_comes_back(server: S3Server, tmp_path: Path) -> None:
    host, recovery = Identity.generate(), Identity.generate()
    location = new_bucket(server)
    repository = Repository.init(location, [recovery.recipient], host)
    source = tmp_path / "source"
    source.mkdir()
    (source / "kept").write_bytes(os.urandom(30_000))
    made = []
    for number in range(3):
        (source / "changing").write_bytes(os.urandom(50_000 + number))
        with begin(repository, "hive") as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            with pytest.raises(BusyError, match=r"process \d+ on"):
                prune(repository, RULES, "hive")
            made.append(writer.commit(Facts()).id)
    add_hold(repository, made[0], "trial")
    record_verification(repository, verify(repository, made[2], "full"))
    assert prune(repository, RULES, "hive").removed == (made[1],)
    assert release_holds(repository, made[0]) == 1
    full = Repository.open(location, [recovery])
    result = prune(full, RULES, "hive")
    assert result.removed == (made[0],)
    assert result.packs_repacked == 1
    assert not result.findings
    mark = read_marks(full).standing(made[2])
    assert mark is not None
    assert mark.ok
    restore_folder(full, full.manifest(made[2]), TREE, tmp_path / "out")
    for name in ("kept", "changing"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    assert len(list(full.storage.list("packs"))) == len(full.load_table().packs) == 2


def test_leases_in_a_bucket_expire_and_are_unlocked(server: S3Server) -> None:
    repository = Repository.init(new_bucket(server), [Identity.generate().recipient], Identity.generate())
    stale = "locks/shared-20200101T000000Z-" + "0" * 32
    repository.storage.put(stale, b"{}")
    with repository.lease("shared") as lease:
        lease.check()
        assert unlock(repository.storage)[1] == [stale]
        lease.check()
    repository.storage.put(stale, b"{}")
    with repository.lease("exclusive") as lease:
        assert [found.name for found in leases(repository.storage)] == [lease._name]
