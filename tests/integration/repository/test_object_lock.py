"""Object Lock on real servers: all is locked when it is stored, and what a backup reuses before it is recorded."""

import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integration.repository.lock_lab import LockedVault, assert_protected, files, new_location
from propolis.checks import repository as rules
from propolis.config.places import KeepConfig, ObjectLockConfig, PlaceConfig, RetentionConfig
from propolis.errors import ConfigError, IntegrityError, RepositoryError
from propolis.repository import Facts, Identity, Location, Repository, verify, write_identity
from propolis.repository.access.leases import Lease
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.maintenance.prune import prune
from propolis.repository.records.marks import add_hold, record_verification
from propolis.repository.storage.locked import LockedStorage, reach
from propolis.repository.storage.opening import open_storage
from propolis.repository.write import protection
from propolis.repository.write.begin import begin
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server
from unit.repository.repository_tools import fill

RULES = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, min_fill=100, grace_hours=0)
LONG = ObjectLockConfig(mode="governance", days=90)


@pytest.fixture(scope="module", params=["minio", "versitygw"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with s3_stores.run(request.param) as running:
        yield running


@pytest.fixture
def vault(server: S3Server) -> LockedVault:
    return LockedVault(new_location(server)).init()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return files(tmp_path / "source")


def longer(vault: LockedVault, lock: ObjectLockConfig = LONG) -> LockedVault:
    """The same repository, by a configuration that locks for longer."""
    return replace(vault, location=replace(vault.location, object_lock=lock))


class Requests:
    """Counts a storage's requests about retention."""

    def __init__(self, repository: Repository) -> None:
        assert isinstance(repository.storage, LockedStorage)
        self.asked: list[str] = []
        self.extended: list[str] = []
        self._call: Callable[..., Any] = repository.storage._api.call
        repository.storage._api.call = self._count  # type: ignore[method-assign]

    def _count(self, operation: str, **parameters: Any) -> Any:
        if operation == "get_object_retention":
            self.asked.append(parameters["Key"])
        elif operation == "put_object_retention":
            self.extended.append(parameters["Key"])
        return self._call(operation, **parameters)


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_everything_but_leases_is_locked_when_it_is_stored(server: S3Server, source: Path, mode: Any) -> None:
    vault = LockedVault(new_location(server, 3, mode)).init()
    summary = vault.backup(source)
    full = vault.open(vault.recovery)
    add_hold(full, summary.id, "trial")
    record_verification(full, verify(full, summary.id, "full"))
    storage = vault.storage
    with Lease(storage, "shared"):
        kinds = set()
        for stored in storage.list(""):
            kinds.add(stored.name.partition("/")[0])
            held = storage.retention(stored.name)
            if stored.name.startswith("locks/"):
                assert held is None
                continue
            assert held is not None, stored.name
            assert held.mode == mode.upper()
            assert held.until == reach(ObjectLockConfig(mode=mode, days=3))
            assert held.until >= datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)
    assert kinds == {"config", "keys", "spare", "packs", "indexes", "manifests", "holds", "verified", "locks"}


def test_what_a_backup_reuses_is_locked_anew_before_it_is_recorded(vault: LockedVault, source: Path) -> None:
    vault.backup(source)
    (source / "000").unlink()
    (source / "more").write_bytes(os.urandom(5000))
    again = longer(vault)
    again.backup(source)
    assert again.stats.read == 5000
    assert assert_protected(again) > 8
    storage, until = again.storage, reach(LONG)
    reaches = [held.until == until for stored in storage.list("packs") if (held := storage.retention(stored.name))]
    # The pack of the file that is gone keeps the date it has, and so does the first manifest.
    assert sorted(reaches) == [False] + [True] * 6
    manifests = sorted(stored.name for stored in storage.list("manifests"))
    dates = [held.until for name in manifests if (held := storage.retention(name))]
    assert dates == [reach(ObjectLockConfig(mode="governance", days=1)), until]
    assert all(storage.retention(stored.name).until == until for stored in storage.list("indexes"))  # type: ignore[union-attr]


def test_no_date_is_moved_back_and_no_mode_is_weakened(server: S3Server, source: Path) -> None:
    vault = LockedVault(new_location(server, 90, "compliance")).init()
    vault.backup(source)
    shorter = longer(vault, ObjectLockConfig(mode="governance", days=1))
    shorter.backup(source)
    longest = longer(vault, ObjectLockConfig(mode="governance", days=900))
    longest.backup(source)
    storage = longest.storage
    for stored in storage.list("packs"):
        held = storage.retention(stored.name)
        assert held is not None
        assert (held.mode, held.until) == ("COMPLIANCE", reach(ObjectLockConfig(mode="governance", days=900)))


def test_a_backup_of_the_same_period_asks_for_nothing_that_its_parent_has(
    vault: LockedVault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.backup(source)
    repository = vault.open()
    requests = Requests(repository)
    vault.backup(source, repository)
    # Packs as young as the parent's are asked for, as another backup may have stored them beside it.
    assert len([key for key in requests.asked if "/packs/" in key]) == 6
    assert requests.extended == []
    monkeypatch.setattr(protection, "_SURE_NS", -(10**12))
    repository = vault.open()
    requests = Requests(repository)
    (source / "more").write_bytes(os.urandom(5000))
    vault.backup(source, repository)
    assert [key for key in requests.asked if "/packs/" in key] == []
    assert requests.extended == []
    # A parent that was locked for a shorter time proves nothing.
    repository = longer(vault).open()
    requests = Requests(repository)
    longer(vault).backup(source, repository)
    assert len([key for key in requests.extended if "/packs/" in key]) == 7
    assert_protected(longer(vault))


def test_a_parent_that_was_stored_without_locks_proves_nothing(
    vault: LockedVault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection, "_SURE_NS", -(10**12))
    bare = replace(vault, location=replace(vault.location, object_lock=None))
    bare.backup(source)
    with pytest.raises(AssertionError, match="isn't locked"):
        assert_protected(vault)
    vault.backup(source)
    first = min(stored.name for stored in vault.storage.list("manifests"))
    vault.storage.delete(first)
    assert_protected(vault)


def test_a_parent_whose_lock_somebody_moved_proves_nothing(
    vault: LockedVault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who owns the bucket could keep a host from locking packs anew, and wait for their locks to end."""
    monkeypatch.setattr(protection, "_SURE_NS", -(10**12))
    vault.backup(source)
    (parent,) = (stored.name for stored in vault.storage.list("manifests"))
    assert vault.storage.extend([parent], reach(LONG)) == 1
    longer(vault).backup(source)
    storage = vault.storage
    held = {storage.retention(stored.name).until for stored in storage.list("packs")}  # type: ignore[union-attr]
    assert held == {reach(LONG)}


def test_a_pack_that_was_overwritten_since_the_last_backup_is_noticed(
    vault: LockedVault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.backup(source)
    pack = next(stored for stored in vault.storage.list("packs"))
    monkeypatch.setattr(protection, "_APART_NS", 0)
    vault.backup(source)
    time.sleep(1.1)  # storages date in whole seconds
    vault.storage.put(pack.name, os.urandom(pack.size))
    with pytest.raises(IntegrityError, match=f"{pack.name} .* was overwritten after the last backup"):
        vault.backup(source)
    assert len(list(vault.storage.list("manifests"))) == 2


def test_to_lock_an_object_anew_does_not_date_it_anew(vault: LockedVault, source: Path) -> None:
    vault.backup(source)
    before = {stored.name: stored for stored in vault.storage.list("packs")}
    time.sleep(1.1)
    assert vault.storage.extend(list(before), reach(LONG)) == 6
    assert {stored.name: stored for stored in vault.storage.list("packs")} == before


def test_a_run_from_one_period_to_the_next_locks_its_own_packs_anew(
    vault: LockedVault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = longer(vault).open()
    storage = repository.storage
    assert isinstance(storage, LockedStorage)
    with begin(repository, "hive") as writer:
        writer.add_folder("files", "files/attachments", source, Path("/original"))
        writer._hand_out()
        writer._intake.finish()
        storage.rules = ObjectLockConfig(mode="governance", days=200)
        monkeypatch.setattr(writer._intake, "finish", lambda: None)
        writer.commit(Facts())
    assert assert_protected(vault) == 9
    held = {storage.retention(stored.name).until for stored in storage.list("packs")}  # type: ignore[union-attr]
    assert held == {storage.reach()}


@pytest.mark.parametrize("change", ["gone", "cut"])
def test_no_backup_is_recorded_that_needs_a_pack_which_is_not_there(
    vault: LockedVault, source: Path, change: str
) -> None:
    vault.backup(source)
    pack = sorted(stored.name for stored in vault.storage.list("packs"))[2]
    if change == "gone":
        vault.storage.delete(pack)
    else:
        vault.storage.put(pack, b"cut")
    with pytest.raises(IntegrityError, match=pack) as raised:
        vault.backup(source)
    assert raised.value.left == "No backup was recorded"
    assert len(list(vault.storage.list("manifests"))) == 1
    assert list(vault.storage.list("locks")) == []


CHILD = """
import os, signal, sys
from pathlib import Path
from propolis.config.places import ObjectLockConfig
from propolis.repository import Facts, Location, Repository, begin, read_identities
from propolis.s3.api import S3Api

url, endpoint, access, secret, key, source, moment = sys.argv[1:]
call, done = S3Api.call, 0
def deadly(self, operation, **parameters):
    global done
    answer = call(self, operation, **parameters)
    if operation == "put_object_retention":
        done += 1
        if done == int(moment):
            os.kill(os.getpid(), signal.SIGKILL)
    return answer
S3Api.call = deadly
lock = ObjectLockConfig(mode="governance", days=90)
location = Location(url, endpoint, "us-east-1", access, secret, object_lock=lock)
repository = Repository.open(location, read_identities(Path(key)))
with begin(repository, "hive") as writer:
    writer.add_folder("files", "files/attachments", Path(source), Path("/original"))
    writer.commit(Facts())
"""


def test_a_backup_that_is_killed_while_it_locks_is_not_recorded(
    vault: LockedVault, source: Path, tmp_path: Path
) -> None:
    write_identity(tmp_path / "key", vault.host)
    vault.backup(source)
    place = vault.location
    arguments = [place.url, str(place.endpoint), str(place.access_key), str(place.secret_key)]
    # What was locked once is not locked again, and how many packs there are depends on who was faster.
    for number, moment in enumerate((1, 2, 1)):
        (source / f"new{number}").write_bytes(os.urandom(5000))
        child = subprocess.run(
            [sys.executable, "-c", CHILD, *arguments, str(tmp_path / "key"), str(source), str(moment)], check=False
        )
        assert child.returncode == -signal.SIGKILL
        assert len(list(vault.storage.list("manifests"))) == 1
    assert_protected(vault)
    longer(vault).backup(source)
    assert_protected(longer(vault))


def test_a_storage_that_refuses_to_lock_fails_the_backup(
    vault: LockedVault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself refuses: what is asked of it is a date in the past."""
    vault.backup(source)
    repository = longer(vault).open()
    storage = repository.storage
    assert isinstance(storage, LockedStorage)
    call = storage._api.call

    def late(operation: str, **parameters: Any) -> Any:
        if operation == "put_object_retention":
            parameters["Retention"]["RetainUntilDate"] = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        return call(operation, **parameters)

    monkeypatch.setattr(storage._api, "call", late)
    with pytest.raises(RepositoryError, match="can't be extended"):
        vault.backup(source, repository)
    assert len(list(vault.storage.list("manifests"))) == 1
    assert_protected(vault)


def test_a_bucket_that_cannot_lock_is_refused_before_anything_is_stored(server: S3Server, source: Path) -> None:
    location = new_location(server, lockable=False)
    host, recovery = Identity.generate(), Identity.generate()
    with pytest.raises(ConfigError, match="made without Object Lock"):
        Repository.init(location, [recovery.recipient], host)
    assert list(open_storage(location).list("")) == []
    Repository.init(replace(location, object_lock=None), [recovery.recipient], host)
    repository = Repository.open(location, [host])
    with pytest.raises(ConfigError, match="made without Object Lock"):
        begin(repository, "hive").__enter__()
    kept = LockedVault(replace(location, object_lock=None), host, recovery)
    kept.backup(source)
    with pytest.raises(ConfigError, match="made without Object Lock"):
        copy_repository(open_storage(kept.location), open_storage(location))
    assert list(repository.storage.list("locks")) == []


def test_prune_says_what_locks_keep(vault: LockedVault, source: Path) -> None:
    vault.backup(source)
    for path in source.iterdir():
        path.write_bytes(os.urandom(1 << 20))
    kept = vault.backup(source)
    time.sleep(1.1)  # storages date in whole seconds, and what is as young as the prune stays
    full = vault.open(vault.recovery)
    result = prune(full, RULES, "hive")
    assert len(result.removed) == 1
    assert result.packs_removed == 6
    assert result.locked_until == reach(ObjectLockConfig(mode="governance", days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert verify(vault.open(vault.recovery), kept.id, "full").ok
    (source / "000").unlink()
    vault.backup(source)
    assert_protected(vault)
    plain = replace(vault, location=replace(vault.location, object_lock=None))
    assert prune(plain.open(vault.recovery), RULES, "hive").locked_until == ""


def test_a_copy_locks_what_it_brings_and_what_was_there(vault: LockedVault, server: S3Server, tmp_path: Path) -> None:
    source = fill(tmp_path / "tree")
    vault.backup(source)
    target = LockedVault(new_location(server, 2), vault.host, vault.recovery)
    first = copy_repository(open_storage(vault.location), open_storage(target.location))
    assert (first.extended, len(first.backups)) == (0, 1)
    assert_protected(target)
    assert copy_repository(open_storage(vault.location), open_storage(target.location)).extended == 0
    (source / "more").write_bytes(os.urandom(3000))
    vault.backup(source)
    later = longer(target)
    second = copy_repository(open_storage(vault.location), open_storage(later.location))
    assert len(second.backups) == 1
    assert second.extended == first.objects  # all it had but its manifest, and the config
    assert_protected(target)
    until = reach(LONG)
    storage = later.storage
    for kind in ("packs", "indexes", "keys", "spare"):
        for stored in storage.list(kind):
            assert storage.retention(stored.name).until == until  # type: ignore[union-attr]
    held = storage.retention("config")
    assert held is not None
    assert held.until == until


def test_the_doctor_says_whether_the_bucket_and_the_last_backup_are_locked(vault: LockedVault, source: Path) -> None:
    def told() -> tuple[str, str]:
        (check,) = rules._locks(vault.open())
        return check.result, check.message

    assert told() == ("ok", "the bucket locks objects")
    vault.backup(source)
    until = reach(ObjectLockConfig(mode="governance", days=1))
    assert told() == ("ok", f"the last backup is locked (governance) until {until:%Y-%m-%d}")
    bare = replace(vault, location=replace(vault.location, object_lock=None))
    assert list(rules._locks(bare.open())) == []
    summary = bare.backup(source)
    assert told() == ("warn", f"the last backup, {summary.id}, is not locked")


def test_dates_lie_on_a_grid_and_never_fall_short() -> None:
    for days, period in ((1, 1), (19, 1), (30, 3), (69, 6), (90, 7), (3650, 7)):
        lock = ObjectLockConfig(mode="governance", days=days)
        start = datetime.datetime(2026, 11, 24, 13, 5, tzinfo=datetime.UTC)
        dates = [reach(lock, start + datetime.timedelta(hours=hour)) for hour in range(24 * 7 * period)]
        assert len(set(dates)) == 8 or days == 1
        for hour, date in enumerate(dates):
            asked = start + datetime.timedelta(hours=hour, days=days)
            assert asked <= date <= asked + datetime.timedelta(days=period)


def test_a_location_tells_how_it_locks(tmp_path: Path) -> None:
    place = PlaceConfig.model_validate({"url": "s3://a/b", "object_lock": {"mode": "compliance", "days": 30}})
    assert isinstance(open_storage(Location.from_config(place)), LockedStorage)
    with pytest.raises(ValueError, match="folder can't lock"):
        PlaceConfig.model_validate({"url": "/backup", "object_lock": {"mode": "compliance", "days": 30}})
