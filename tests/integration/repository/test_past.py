"""A vandal with every right over a bucket overwrites, removes and exchanges; `--at` still brings all back."""

import datetime
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.repository import s3_lab
from integration.repository.lock_lab import LockedVault, files, new_location
from propolis.cli import run
from propolis.config.sample import sample
from propolis.errors import ConfigError, IntegrityError, PropolisError, RepositoryError
from propolis.repository import Location, Repository, restore_folder, verify
from propolis.repository.storage.base import MissingObjectError
from propolis.repository.storage.opening import open_storage
from propolis.repository.write.begin import begin
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server
from unit.repository.repository_tools import TREE, fill, snapshot

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", params=["minio", "versitygw"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with s3_stores.run(request.param) as running:
        yield running


@pytest.fixture
def vault(server: S3Server) -> LockedVault:
    return LockedVault(new_location(server, 1, "compliance")).init()


def moment() -> datetime.datetime:
    """Now, and nothing else in the same second: a storage may date objects in whole ones."""
    time.sleep(1.1)
    now = datetime.datetime.now(datetime.UTC)
    time.sleep(1.1)
    return now


def past(vault: LockedVault, at: datetime.datetime) -> Repository:
    return Repository.open(vault.location.as_of(at), [vault.recovery])


def vandalise(vault: LockedVault) -> None:
    """All that full credentials allow: whatever can be destroyed is destroyed."""
    storage = vault.storage
    bare = open_storage(replace(vault.location, object_lock=None))
    api, bucket = storage._api, storage.bucket
    names = sorted(stored.name for stored in storage.list(""))
    for number, name in enumerate(names):
        if number % 3 == 0:
            bare.put(name, os.urandom(100))
        elif number % 3 == 1:
            storage.delete(name)
        else:
            storage.delete(name)
            bare.put(name, b"")
    bare.put("packs/00/" + "0" * 64, b"a pack of theirs")
    refused = 0
    for page in api.pages("list_object_versions", Bucket=bucket):
        for version in page.get("Versions", ()):
            one = {"Bucket": bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
            if version["Size"] > 100:
                try:
                    api.call("delete_object", **one, BypassGovernanceRetention=True)
                except OSError:
                    refused += 1
    assert refused >= len(names)


def test_what_a_vandal_destroyed_comes_back(vault: LockedVault, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    first = vault.backup(source)
    (source / "more").write_bytes(os.urandom(100_000))
    second = vault.backup(source)
    expected = snapshot(source)
    before = moment()
    vandalise(vault)
    with pytest.raises(PropolisError):
        vault.open(vault.recovery)
    repository = past(vault, before)
    assert [summary.id for summary in repository.backups()] == [first.id, second.id]
    with repository.lease("shared") as lease:
        lease.check()
        assert verify(repository, second.id, "full").ok
        restore_folder(repository, repository.manifest(second.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == expected
    assert list(repository.storage.list("locks")) == []


def test_each_moment_has_what_there_was_then(vault: LockedVault) -> None:
    storage = vault.storage
    moments = [moment()]
    for data in (b"one", b"two!", None, b"three!!", None):
        if data is None:
            storage.delete("packs/aa/x")
        else:
            storage.put("packs/aa/x", data)
        moments.append(moment())
    for at, size in zip(moments, (None, 3, 4, None, 7, None), strict=True):
        then = open_storage(vault.location.as_of(at))
        assert then.size("packs/aa/x") == size, at
        assert [(stored.name, stored.size) for stored in then.list("packs")] == [("packs/aa/x", size)] * bool(size)
        if size is None:
            with pytest.raises(MissingObjectError, match=r"packs/aa/x is missing .* as of 20"):
                then.get("packs/aa/x", 100)
        else:
            assert len(then.get("packs/aa/x", 100)) == size
            assert bytes(then.head("packs/aa/x", 2)) == bytes(then.get("packs/aa/x", 100))[:2]
    with pytest.raises(IntegrityError, match="has 4 bytes; at most 3 are allowed"):
        open_storage(vault.location.as_of(moments[2])).get("packs/aa/x", 3)


def test_many_versions_are_listed_whole(vault: LockedVault) -> None:
    bare = open_storage(replace(vault.location, object_lock=None))
    for number in range(1050):
        bare.put(f"packs/{number % 7:02}/{number:04}", b"x" * (number % 5))
    at = moment()
    for number in range(0, 1050, 2):
        bare.delete(f"packs/{number % 7:02}/{number:04}")
    then = open_storage(vault.location.as_of(at))
    assert {stored.name: stored.size for stored in then.list("packs")} == {
        f"packs/{number % 7:02}/{number:04}": number % 5 for number in range(1050)
    }
    assert len(list(then.list("packs/03"))) == 150
    assert len(list(then.list(""))) == 1053
    assert bytes(then.get("packs/00/0000", 10)) == b""
    assert bytes(then.head("packs/00/0000", 10)) == b""


def test_the_past_cannot_be_changed(vault: LockedVault, tmp_path: Path) -> None:
    source = files(tmp_path / "source", 1)
    vault.backup(source)
    repository = past(vault, moment())
    storage = repository.storage
    for attempt in (
        lambda: storage.put("config", b"x"),
        lambda: storage.put("locks/x", b"x", create=True),
        lambda: storage.delete("config"),
        lambda: storage.prepare(),
        lambda: repository.lease("exclusive"),
        lambda: begin(repository, "hive").__enter__(),
    ):
        with pytest.raises(RepositoryError, match="is opened as of an earlier time and is read-only"):
            attempt()


def test_what_keeps_no_versions_has_no_past(server: S3Server, tmp_path: Path) -> None:
    location = replace(new_location(server, lockable=False), object_lock=None)
    now = datetime.datetime.now(datetime.UTC)
    with pytest.raises(ConfigError, match="keeps no former versions"):
        open_storage(location.as_of(now)).get("config", 100)
    with pytest.raises(ConfigError, match="is a folder, which keeps no former versions"):
        open_storage(Location(str(tmp_path / "vault")).as_of(now))
    with pytest.raises(RepositoryError, match="no such bucket"):
        open_storage(replace(location, url="s3://no-such-bucket/x").as_of(now)).get("config", 100)


def test_a_bucket_with_versions_but_no_locks_has_a_past_too(server: S3Server, tmp_path: Path) -> None:
    location = replace(new_location(server, lockable=False), object_lock=None)
    bucket = location.url.removeprefix("s3://").partition("/")[0]
    answer = s3_lab.signed(server, "PUT", f"/{bucket}", "versioning=", s3_lab.VERSIONED)
    assert answer.status == 200
    vault = LockedVault(location).init()
    summary = vault.backup(files(tmp_path / "source", 2))
    at = moment()
    for stored in list(vault.open().storage.list("")):
        vault.open().storage.delete(stored.name) if stored.name != "config" else None
    assert verify(past(vault, at), summary.id, "full").ok


@pytest.fixture
def command(vault: LockedVault, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command on the vault; its exit code and what it said."""
    place = vault.location
    bucket = {"s3-access": place.access_key, "s3-secret": place.secret_key}
    keys = {"host.key": vault.host.secret(), "recovery.key": vault.recovery.secret(), **bucket}
    for name, text in keys.items():
        (tmp_path / name).write_text(str(text))
        (tmp_path / name).chmod(0o600)
    lines = (
        sample()
        .replace("/etc/propolis/host.key", str(tmp_path / "host.key"))
        .replace("/backup/thehive", place.url)
        .replace("repository:\n", f"repository:\n  endpoint: {place.endpoint}\n", 1)
    )
    more = f"  access_key:\n    file: {tmp_path}/s3-access\n  secret_key:\n    file: {tmp_path}/s3-secret\n"
    more += "  object_lock: {mode: compliance, days: 1}\n"
    text = "state: " + str(tmp_path / "state") + "\n" + lines.replace("repository:\n", "repository:\n" + more, 1)
    (tmp_path / "propolis.yaml").write_text(text)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*arguments, "--config", str(tmp_path / "propolis.yaml")])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_commands_read_the_past(vault: LockedVault, command: Command, tmp_path: Path) -> None:
    summary = vault.backup(files(tmp_path / "source", 2))
    at = moment().isoformat()
    key = ("--identity", str(tmp_path / "recovery.key"))
    code, out, err = command("verify", summary.id, *key)
    assert code == 0, err
    vandalise(vault)
    for arguments in (("list",), ("show", "latest"), ("verify", "latest"), ("repository", "check")):
        assert command(*arguments)[0] != 0
    code, out, err = command("list", "--json", "--at", at)
    assert code == 0, err
    assert [found["id"] for found in json.loads(out)] == [summary.id]
    assert command("show", "latest", "--at", at)[0] == 0
    code, out, err = command("verify", "latest", *key, "--at", at)
    assert code == 0, err
    code, out, err = command("repository", "check", "--read-data=all", *key, "--at", at)
    assert code == 0, err
    assert "without a lease" not in err
    for wrong, why in (
        ("2026-11-24T01:00:00", "not a time with an offset"),
        ("soon", "not a time"),
        ("2999-01-01T00:00Z", "future"),
    ):
        code, _, err = command("list", "--at", wrong)
        assert code == 2
        assert why in err
