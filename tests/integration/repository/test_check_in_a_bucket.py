"""Checking and repairing what is in a bucket of a real MinIO, or versitygw."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from propolis.errors import IntegrityError
from propolis.repository import BackupSummary, Facts, Identity, Location, Repository, restore_folder
from propolis.repository.format.index import index_lines
from propolis.repository.format.names import pack_name
from propolis.repository.maintenance.check import ReadData, check
from propolis.repository.maintenance.repair import RepairResult, repair
from propolis.repository.write.begin import begin
from propolis_lab.servers.minio import S3Server, run
from unit.repository.repository_tools import TREE, fill, snapshot

LARGE = b"deep/large"


@pytest.fixture(scope="module", params=["minio", "versitygw"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with run(request.param) as found:
        yield found


class Bucket:
    """A repository in a bucket with three backups, each with a large file and small ones of its own."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.host, self.recovery = Identity.generate(), Identity.generate()
        self.location = new_bucket(server)
        self.repository = Repository.init(self.location, [self.recovery.recipient], self.host, segment_bytes=1 << 20)
        self.storage = self.repository.storage
        folder.mkdir(exist_ok=True)
        self.source = fill(folder / "source")
        self.backups: list[BackupSummary] = []
        self.contents: list[Any] = []
        for number in range(3):
            (self.source / "deep" / "large").write_bytes(os.urandom((2 << 20) + number))
            for small in range(20):
                (self.source / f"{number}-{small}").write_bytes(os.urandom(10_000))
            with begin(self.repository, "hive") as writer:
                writer.add_folder("files", TREE, self.source, self.source)
                self.backups.append(writer.commit(Facts()))
            self.contents.append(snapshot(self.source))

    def pack_of(self, backup: int, path: bytes) -> str:
        """The pack that a file of a backup begins in."""
        table = self.repository.load_table()
        entries = self.repository.manifest(self.backups[backup].id).entries()
        segment = next(entry.segments for entry in entries if entry.path == path)[:64]
        return pack_name(table.packs[table.find(bytes.fromhex(segment.decode())).pack].hash)  # type: ignore[union-attr]

    def names(self, kind: str) -> set[str]:
        return {stored.name for stored in self.storage.list(kind)}

    def flip(self, name: str, where: int) -> None:
        data = bytearray(self.storage.get(name, 64 << 20))
        data[where] ^= 1
        self.storage.put(name, data)

    def checked(self, *, read: bool = True) -> Any:
        return check(self.storage, [self.recovery], read_data=ReadData() if read else None)

    def repaired(self, key: Identity) -> RepairResult:
        repository = Repository.open(self.location, [key])
        with repository.lease("exclusive") as lease:
            return repair(repository, {TREE: self.source}, read_data=ReadData(), lease=lease)

    def restored(self, number: int, target: Path, lost: frozenset[bytes] = frozenset()) -> Any:
        full = Repository.open(self.location, [self.recovery])
        manifest = full.manifest(self.backups[number].id)
        restore_folder(full, manifest, TREE, target, paths=(lambda path: path not in lost) if lost else None)
        return snapshot(target)


def new_bucket(server: S3Server) -> Location:
    bucket = f"test-{secrets.token_hex(6)}"
    server.make_bucket(bucket)
    keys = server.keys
    return Location(f"s3://{bucket}/some/prefix", server.endpoint, server.region, keys.access, keys.secret)


@pytest.fixture
def bucket(server: S3Server, tmp_path: Path) -> Bucket:
    return Bucket(server, tmp_path)


def test_damage_of_all_kinds_is_found_and_repaired_and_costs_no_other_backup(
    bucket: Bucket, server: S3Server, tmp_path: Path
) -> None:
    assert bucket.checked().ok
    damaged, missing = bucket.pack_of(2, b"2-0"), bucket.pack_of(1, LARGE)
    first_index = next(
        name for name in bucket.names("indexes") if f"{bucket.pack_of(0, LARGE)[-64:]}" in index_text(bucket, name)
    )
    other = Bucket(server, tmp_path / "other")
    foreign_index, foreign_pack = sorted(other.names("indexes"))[0], other.pack_of(0, LARGE)
    bucket.flip(damaged, 300_000 // 2)
    bucket.storage.delete(missing)
    bucket.storage.delete(first_index)
    for name in (foreign_index, foreign_pack):
        bucket.storage.put(name, other.storage.get(name, 64 << 20))
    bucket.storage.put("packs/notes.txt", b"somebody's")

    found = bucket.checked(read=False)
    told = {finding.object: finding for finding in found.findings}
    assert missing in told and foreign_index in told and damaged not in told
    assert [hit.backup for hit in told[missing].hits] == [bucket.backups[1].id]
    assert told[missing].hits[0].examples == (f"{TREE}/deep/large",)
    assert any("notes.txt" in remark for remark in found.remarks)
    assert any("in no index" in remark for remark in found.remarks)
    read = {finding.object: finding for finding in bucket.checked().findings}
    assert read.keys() == told.keys() | {damaged}
    assert [hit.backup for hit in read[damaged].hits] == [bucket.backups[2].id]
    # The lost index hits all backups: the oldest files are in all of them.
    assert {hit.backup for name in told if name.startswith("manifests/") for hit in told[name].hits} == {
        backup.id for backup in bucket.backups
    }

    result = bucket.repaired(bucket.recovery)
    assert [(loss.backup, loss.examples) for loss in result.losses] == [
        (bucket.backups[1].id, (f"{TREE}/deep/large",))
    ]
    assert result.from_packs > 0 and result.packs_made_known > 0
    assert damaged in result.quarantined and foreign_index in result.quarantined
    aside = bucket.names("quarantine")
    assert {name[len("quarantine/") : -17] for name in aside} == set(result.quarantined)
    assert not bucket.names("packs") & {damaged, missing}

    after = bucket.checked()
    assert [finding.object for finding in after.findings] == [f"manifests/{manifest_of(bucket, 1)}"]
    assert after.findings[0].hits == result.losses
    for number in (0, 2):
        assert bucket.restored(number, tmp_path / f"out-{number}") == bucket.contents[number]
    with pytest.raises(IntegrityError, match="deep/large"):
        bucket.restored(1, tmp_path / "refused")
    rest = bucket.restored(1, tmp_path / "out-1", frozenset([LARGE]))
    assert rest == {path: told for path, told in bucket.contents[1].items() if path != LARGE}


def test_the_hosts_own_key_brings_back_what_the_live_files_still_hold(bucket: Bucket, tmp_path: Path) -> None:
    damaged, missing = bucket.pack_of(2, b"2-0"), bucket.pack_of(2, LARGE)
    bucket.flip(damaged, -1)
    bucket.storage.delete(missing)
    result = bucket.repaired(bucket.host)
    assert result.ok
    assert (result.from_packs, result.from_stack) == (0, result.lost_segments)
    assert result.from_stack > 20
    checked = bucket.checked()
    assert checked.ok
    assert any("quarantine/" in remark for remark in checked.remarks)
    for number in range(3):
        assert bucket.restored(number, tmp_path / f"out-{number}") == bucket.contents[number]


def index_text(bucket: Bucket, name: str) -> str:
    stored = bucket.storage.get(name, 64 << 20)
    return b"\n".join(
        bytes(line) for line in index_lines(stored, bucket.repository.identities, bucket.repository.key, name)
    ).decode()


def manifest_of(bucket: Bucket, number: int) -> str:
    return next(name for id, name in bucket.repository.names() if id == bucket.backups[number].id).removeprefix(
        "manifests/"
    )
