"""The policy for hosts that the documentation ships, given to a user of a real MinIO: backups work, harm doesn't."""

import datetime
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from integration.repository.lock_lab import (
    LockedVault,
    Mc,
    assert_protected,
    files,
    host_credential,
    new_location,
    reader_credential,
)
from propolis.clock import utc_now, utc_text
from propolis.config.places import KeepConfig, ObjectLockConfig, RetentionConfig
from propolis.errors import BusyError, IntegrityError, RepositoryError
from propolis.repository import Facts, Repository, restore_folder, verify
from propolis.repository.access.leases import ReadingLease
from propolis.repository.maintenance.prune import prune
from propolis.repository.records.verdicts import ask, give
from propolis.repository.storage.locked import LockedStorage
from propolis.repository.write.begin import begin
from propolis.repository.write.compose import compose, drop_parts
from propolis.s3.api import S3Api
from propolis.s3.endpoint import Patience
from propolis.s3.errors import AnswerError
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server
from unit.repository.repository_tools import TREE, snapshot

RULES = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, grace_hours=0)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_stores.run("minio") as running:
        yield running


@dataclass
class Stage:
    """A repository that was made with the maintenance credential, and what its host has."""

    care: LockedVault
    host: LockedVault
    user: Mc

    def api(self, vault: LockedVault) -> S3Api:
        return S3Api(vault.location.server, Patience(retries=1, first_wait=0.1))


@pytest.fixture(params=["governance", "compliance"])
def stage(request: pytest.FixtureRequest, server: S3Server, tmp_path: Path) -> Stage:
    lock = ObjectLockConfig(mode=request.param, days=30)
    care = LockedVault(new_location(server, lock.days, lock.mode)).init()
    keys = host_credential(server, care.location, tmp_path)
    host = replace(care, location=replace(care.location, access_key=keys.access, secret_key=keys.secret))
    return Stage(care, host, Mc(server, tmp_path / "mc-user", keys))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return files(tmp_path / "source", 3)


def test_a_host_backs_up_and_reuses_what_is_there(stage: Stage, source: Path, tmp_path: Path) -> None:
    stage.host.backup(source)
    (source / "more").write_bytes(os.urandom(100_000))
    again = stage.host.backup(source)
    assert stage.host.stats.read == 100_000
    # For longer than before: it may extend, too.
    assert stage.host.location.object_lock is not None
    longest = ObjectLockConfig(mode=stage.host.location.object_lock.mode, days=60)
    longer = replace(stage.host, location=replace(stage.host.location, object_lock=longest))
    longer.backup(source)
    assert assert_protected(stage.care) > 10
    host = stage.host.open()
    assert len(host.backups()) == 3
    assert verify(host, again.id, "manifest").ok
    assert list(host.storage.list("locks")) == []
    full = stage.care.open(stage.care.recovery)
    assert verify(full, again.id, "full").ok
    restore_folder(full, full.manifest(again.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_a_credential_that_only_reads_is_enough_to_verify_and_restore(
    stage: Stage, server: S3Server, source: Path, tmp_path: Path
) -> None:
    id = stage.host.backup(source).id
    keys = reader_credential(server, stage.care.location, tmp_path)
    place = replace(stage.care.location, access_key=keys.access, secret_key=keys.secret, object_lock=None)
    reader = Repository.open(place, [stage.care.recovery])
    with ReadingLease(reader.storage) as lease:
        assert "may not do this" in lease.warning
        assert verify(reader, id, "full").ok
        restore_folder(reader, reader.manifest(id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
    with stage.care.open().lease("exclusive"), pytest.raises(BusyError), ReadingLease(reader.storage):
        pass


def test_hosts_seal_parts_and_share_a_verdict_and_can_remove_neither(stage: Stage, source: Path) -> None:
    run = f"{utc_now():%Y%m%dT%H%M%SZ}-0a1b2c"
    host = stage.host.open()
    with host.lease("shared") as lease:
        names = []
        for name in ("db1", "db2"):
            (source / name).write_bytes(os.urandom(50_000))
            with begin(stage.host.open(), "hive", parent=None) as writer:
                writer.add_folder("files", f"files/{name}/folder", source, Path("/original"))
                names.append(writer.finish_part(run, name, Facts()))
        assert sorted(stored.name for stored in host.storage.list("parts")) == sorted(names)
        summary = compose(host, "hive", run, names, ("db1", "db2"), Facts(), lease)
    held = [stage.host.storage.retention(name) for name in names]
    assert {utc_text(found.until) for found in held if found} == {summary.header.facts["locked_until"]}
    assert all(held)
    assert assert_protected(stage.care) > 5
    assert verify(stage.care.open(stage.care.recovery), summary.id, "full").ok
    assert give(host, run, "keep") == give(stage.host.open(), run, "undo") == "keep"
    assert not drop_parts(host, names), "a prune does that"
    with pytest.raises(RepositoryError):
        host.storage.delete(f"verdicts/{run}")
    result = prune(stage.care.open(stage.care.recovery), RULES, "hive")
    assert (result.others_removed, result.packs_removed) == (2, 0)
    assert list(host.storage.list("parts")) == []
    assert ask(host, run) == "keep"


def denied(api: S3Api, operation: str, **parameters: Any) -> None:
    try:
        answer = api.call(operation, **parameters)
    except AnswerError as error:
        # WORM: write once, read many; so MinIO calls a lock that isn't lifted.
        assert error.told.code == "AccessDenied" or "WORM" in error.told.message, f"{operation}: {error.told}"
        return
    raise AssertionError(f"{operation} {parameters} was answered: {answer}")


def test_with_all_that_is_on_the_host_nothing_is_read_removed_or_unlocked(stage: Stage, source: Path) -> None:
    stage.host.backup(source)
    api, owner = stage.api(stage.host), stage.api(stage.care)
    bucket = stage.host.storage.bucket
    versions = owner.call("list_object_versions", Bucket=bucket)["Versions"]
    kinds = set()
    now = datetime.datetime.now(datetime.UTC)
    dates = [now + datetime.timedelta(minutes=1), now + datetime.timedelta(days=28)]
    for version in versions:
        key = {"Bucket": bucket, "Key": version["Key"]}
        kind = version["Key"].removeprefix("some/prefix/").partition("/")[0]
        if kind == "locks":
            continue
        kinds.add(kind)
        one = {**key, "VersionId": version["VersionId"]}
        denied(api, "delete_object", **key)
        for bypass in (False, True):
            denied(api, "delete_object", **one, BypassGovernanceRetention=bypass)
            if bypass and stage.host.storage.rules.mode == "governance":
                # This MinIO lets anybody who may set a lock exchange one of governance for a shorter one of
                # compliance, with the header but without the right to lift locks. The user guide says so.
                continue
            for until, mode in itertools.product(dates, ("GOVERNANCE", "COMPLIANCE")):
                shorter = {"Mode": mode, "RetainUntilDate": until}
                denied(api, "put_object_retention", **one, Retention=shorter, BypassGovernanceRetention=bypass)
        denied(api, "put_object_legal_hold", **key, LegalHold={"Status": "OFF"})
        if kind == "packs":
            denied(api, "get_object", **key)
            denied(api, "get_object", **one)
    assert kinds == {"config", "keys", "spare", "packs", "indexes", "manifests"}
    assert owner.call("list_object_versions", Bucket=bucket)["Versions"] == versions


def test_the_buckets_settings_and_the_servers_policies_are_closed_to_a_host(stage: Stage, tmp_path: Path) -> None:
    api, bucket = stage.api(stage.host), stage.host.storage.bucket
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*"}]}
    rule = {
        "ID": "x",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }
    attempts: dict[str, dict[str, Any]] = {
        "put_bucket_policy": {"Policy": json.dumps(everything)},
        "delete_bucket_policy": {},
        "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Suspended"}},
        "put_bucket_lifecycle_configuration": {"LifecycleConfiguration": {"Rules": [rule]}},
        "put_object_lock_configuration": {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}},
        "delete_bucket": {},
    }
    for operation, settings in attempts.items():
        denied(api, operation, Bucket=bucket, **settings)
    allow = tmp_path / "all.json"
    allow.write_text(
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
            }
        )
    )
    assert stage.user("admin", "policy", "create", "lab", "mine", str(allow)).returncode != 0
    assert stage.user("admin", "user", "add", "lab", "another", "a-long-secret-key").returncode != 0


def test_what_a_host_overwrites_is_read_as_it_was(stage: Stage, source: Path, tmp_path: Path) -> None:
    summary = stage.host.backup(source)
    before = datetime.datetime.now(datetime.UTC)
    for stored in list(stage.host.storage.list("")):
        stage.host.storage.put(stored.name, b"overwritten by whoever has the host")
    with pytest.raises(IntegrityError, match="damaged"):
        stage.care.open(stage.care.recovery)
    past = Repository.open(stage.care.location.as_of(before), [stage.care.recovery])
    restore_folder(past, past.manifest(summary.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_care_with_a_hosts_credential_says_which_to_use(stage: Stage, source: Path) -> None:
    first = stage.host.backup(source)
    second = stage.host.backup(source)
    host = stage.host.open()
    for attempt in (
        lambda: prune(host, RULES, "hive"),
        lambda: verify(host, second.id, "full"),
        lambda: host.storage.delete("config"),
    ):
        with pytest.raises(RepositoryError, match="the access key may not do this") as raised:
            attempt()
        assert "use the maintenance credential" in str(raised.value.next)
    assert {summary.id for summary in stage.care.open().backups()} == {first.id, second.id}
    assert list(host.storage.list("locks")) == []


def test_what_a_lost_lease_leaves_is_named_when_it_cannot_be_taken_back(
    stage: Stage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = stage.host.open()
    storage = repository.storage
    assert isinstance(storage, LockedStorage)
    put = storage.put_until
    with (
        pytest.raises(
            RepositoryError, match=r"manifests/\S+, which had just been written, can't be deleted"
        ) as raised,
        begin(repository, "hive") as writer,
    ):

        def slow(*arguments: Any) -> None:
            put(*arguments)
            # As if the request had taken an hour: by the storage's clock the lease could have expired before.
            writer._lease.storage_time_ns -= 3600 * 10**9
            writer._lease._lost = True

        monkeypatch.setattr(storage, "put_until", slow)
        writer.add_folder("files", TREE, source, Path("/original"))
        writer.commit(Facts())
    assert "stays" in str(raised.value.left)
    assert "maintenance credential" in str(raised.value.next)
    assert len(stage.care.open().backups()) == 1
