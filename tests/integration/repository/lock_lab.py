"""Repositories in buckets that lock objects: what the tests of Object Lock share."""

import json
import os
import secrets
import subprocess
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from integration.repository import s3_lab
from propolis.config.places import ObjectLockConfig
from propolis.repository import BackupSummary, Facts, Identity, Location, Repository, Stats
from propolis.repository.format.entries import segment_ids
from propolis.repository.format.names import CONFIG, pack_name
from propolis.repository.storage.locked import LockedStorage
from propolis.repository.storage.opening import open_storage
from propolis.repository.write.begin import begin
from propolis_lab.programs import go
from propolis_lab.servers.minio import Keys, S3Server
from unit.repository.repository_tools import TREE

POLICY = Path(__file__).parents[3] / "docs" / "s3-policy-host.json"
Mode = Literal["governance", "compliance"]


def new_location(server: S3Server, days: int = 1, mode: Mode = "governance", *, lockable: bool = True) -> Location:
    bucket = f"test-{secrets.token_hex(6)}"
    s3_lab.make_bucket(server, bucket, lockable=lockable)
    return Location(
        f"s3://{bucket}/some/prefix",
        server.endpoint,
        server.region,
        server.keys.access,
        server.keys.secret,
        object_lock=ObjectLockConfig(mode=mode, days=days),
    )


@dataclass
class LockedVault:
    """A repository in a bucket that locks, used with the host's key."""

    location: Location
    host: Identity = field(default_factory=Identity.generate)
    recovery: Identity = field(default_factory=Identity.generate)
    stats: Stats = field(default_factory=Stats)

    def init(self) -> "LockedVault":
        Repository.init(self.location, [self.recovery.recipient], self.host, segment_bytes=1 << 20)
        return self

    def open(self, key: Identity | None = None) -> Repository:
        return Repository.open(self.location, [key or self.host])

    def backup(self, source: Path, repository: Repository | None = None, **options: Any) -> BackupSummary:
        with begin(repository or self.open(), "hive", **options) as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            summary = writer.commit(Facts())
        self.stats = writer.stats
        return summary

    @property
    def storage(self) -> LockedStorage:
        storage = open_storage(self.location)
        assert isinstance(storage, LockedStorage)
        return storage


def assert_protected(vault: LockedVault) -> int:
    """All that a recorded backup needs is locked for as long as its manifest; how many objects were looked at."""
    repository = vault.open()
    storage = vault.storage
    table = repository.load_table()
    looked = 0
    for id, name in repository.names():
        held = storage.retention(name)
        assert held is not None, f"{name} isn't locked"
        assert held.until.timestamp() % 86_400 == 0
        needed = {CONFIG, *(stored.name for kind in ("keys", "spare") for stored in storage.list(kind))}
        for entry in repository.manifest(id).entries():
            for segment in segment_ids(entry.segments, name):
                needed |= {pack_name(table.packs[place.pack].hash) for _, place in table.copies(segment)}
        for other in needed:
            found = storage.retention(other)
            assert found is not None, f"{other} isn't locked"
            assert found.until >= held.until, f"{other}: {found.until}, {name}: {held.until}"
        looked += len(needed)
    return looked


def files(folder: Path, count: int = 6, size: int = 1 << 20) -> Path:
    """So many files, each a pack of its own."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}").write_bytes(os.urandom(size))
    return folder


@dataclass
class Mc:
    """MinIO's client, with an administrator's credential or a user's."""

    server: S3Server
    folder: Path
    keys: Keys

    def __call__(self, *arguments: str, secret: str = "") -> subprocess.CompletedProcess[str]:
        netloc = urllib.parse.urlsplit(self.server.endpoint).netloc
        return subprocess.run(
            [go.build(go.MC), "--config-dir", str(self.folder), "--json", *arguments],
            env={"MC_HOST_lab": f"http://{self.keys.access}:{self.keys.secret}@{netloc}", "HOME": str(self.folder)},
            input=secret,
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def must(self, *arguments: str, secret: str = "") -> None:
        done = self(*arguments, secret=secret)
        assert done.returncode == 0, done.stdout + done.stderr


def host_credential(server: S3Server, location: Location, folder: Path) -> Keys:
    """A new user of MinIO's with the policy that the documentation has for hosts."""
    return credential(server, location, folder, POLICY.read_text())


def reader_credential(server: S3Server, location: Location, folder: Path) -> Keys:
    """A new user of MinIO's who may only list and read."""
    statement = {
        "Effect": "Allow",
        "Action": ["s3:ListBucket", "s3:GetObject"],
        "Resource": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/PREFIX/*"],
    }
    return credential(server, location, folder, json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def credential(server: S3Server, location: Location, folder: Path, policy: str) -> Keys:
    """A new user of MinIO's with this policy, for what is below the location."""
    bucket, _, prefix = location.url.removeprefix("s3://").partition("/")
    text = policy.replace("BUCKET", bucket).replace("PREFIX", prefix)
    assert json.loads(text)["Statement"]
    (folder / "policy.json").write_text(text)
    keys, name = Keys.new(), f"host-{secrets.token_hex(4)}"
    admin = Mc(server, folder / "mc", server.keys)
    admin.must("admin", "policy", "create", "lab", name, str(folder / "policy.json"))
    admin.must("admin", "user", "add", "lab", keys.access, keys.secret)
    admin.must("admin", "policy", "attach", "lab", name, "--user", keys.access)
    return keys
