"""What the key of a host may do with a repository that is served append-only, and what it may not."""

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from propolis.clock import utc_now
from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import BusyError, RepositoryError
from propolis.repository import Identity, Repository, restore_folder, verify
from propolis.repository.access.keyring import KeyHolder
from propolis.repository.access.leases import lease
from propolis.repository.format.names import hash_name, pack_name
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.maintenance.prune import prune
from propolis.repository.maintenance.rekey import add_key
from propolis.repository.maintenance.repair import repair
from propolis.repository.records.marks import add_hold, record_verification, release_holds
from propolis.repository.storage import reserve
from propolis.repository.storage.base import ObjectExistsError, Storage
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.storage.remote.client import RemoteStorage
from propolis.repository.storage.remote.errors import RefusedError
from unit.repository.repository_tools import TREE, Vault, fill, snapshot
from unit.repository.storage.served import remote

HASH = "0" * 64
RUN = "20261127T120000Z-0123ab"
ADDED = [
    f"packs/00/{HASH}",
    f"indexes/{HASH}",
    f"manifests/20261127T120000Z-{HASH}",
    f"holds/20261127T120000Z-01234567-{HASH}",
    f"verified/20261127T120000Z-01234567-{HASH}",
    f"parts/{RUN}-db2.example-{HASH}",
    f"verdicts/{RUN}",
]
RULES = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, grace_hours=0)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Made with the host's own, append-only key."""
    folder, host, recovery = tmp_path / "vault", Identity.generate(), Identity.generate()
    storage = remote(folder, append_only=True)
    storage.prepare()
    opened = Repository.create(storage, [recovery.recipient], host, segment_bytes=1 << 20)
    return Vault(folder, host, recovery, opened, Repository(storage, [recovery]))


@pytest.fixture
def storage(vault: Vault) -> Storage:
    return vault.host.storage


def objects(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_host_backs_up_and_reads_what_is_there(vault: Vault, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    vault.backup(source)
    (source / "more").write_bytes(os.urandom(100_000))
    again = vault.backup(source)
    assert vault.stats.read == 100_000
    assert verify(vault.full, again.id, "full").ok
    record_verification(vault.full, verify(vault.full, again.id, "full"))
    add_hold(vault.host, again.id, "kept")
    restore_folder(vault.full, vault.full.manifest(again.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
    assert list(vault.host.storage.list("locks")) == []
    assert list((vault.folder / "tmp").iterdir()) == []


def test_what_a_host_may_not_do_leaves_everything_as_it_is(vault: Vault, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    first, _ = vault.backup(source), vault.backup(source)
    add_hold(vault.host, first.id, "kept")
    before = objects(vault.folder)
    another = KeyHolder.of("another", Identity.generate().recipient)
    attempts: list[Callable[[], Any]] = [
        lambda: prune(vault.full, RULES, "hive"),
        lambda: add_key(vault.full, another),
        lambda: release_holds(vault.host, first.id),
        lambda: lease(vault.host.storage, "exclusive").__enter__(),
    ]
    for attempt in attempts:
        with pytest.raises(RefusedError, match="append-only") as raised:
            attempt()
        assert "maintenance" in raised.value.next
    assert objects(vault.folder) == before


def test_no_object_is_replaced_or_removed(vault: Vault, tmp_path: Path) -> None:
    vault.backup(fill(tmp_path / "source"))
    storage, before = vault.host.storage, objects(vault.folder)
    for name in before:
        with pytest.raises(RepositoryError):
            storage.put(name, b"something else")
        with pytest.raises(RepositoryError):
            storage.put(name, b"something else", create=True)
        with pytest.raises(RefusedError, match="append-only"):
            storage.delete(name)
    assert objects(vault.folder) == before


@pytest.mark.parametrize("name", ADDED)
def test_an_object_is_added_once_and_may_be_sent_again(storage: Storage, name: str) -> None:
    data = os.urandom((4 << 20) + 5 if name.startswith("packs") else 100)
    storage.put(name, data)
    storage.put(name, data)  # the first answer may have been lost
    for other in (data[:-1], data[:-1] + b"x", b"", data + b"x"):
        with pytest.raises(ObjectExistsError):
            storage.put(name, other)
    with pytest.raises(ObjectExistsError):
        storage.put(name, data, create=True)
    assert storage.get(name, 8 << 20) == data


@pytest.mark.parametrize(
    "name",
    [
        "config",
        f"keys/000002-{HASH}",
        f"spare/000002-{HASH}",
        f"removals/{HASH}",
        f"quarantine/indexes/{HASH}-0123456789abcdef",
        "reserve",
        "tmp/x",
        "locks/exclusive-20261127T120000Z-00000000000000000000000000000000",
        "locks/other",
        "packs/00/x",
        f"packs/01/{HASH}",
        f"packs/00/{HASH}.old",
        f"indexes/{HASH}/more",
        f"manifests/{HASH}",
        "etc/passwd",
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_other_names_are_refused(storage: Storage, vault: Vault, name: str, create: bool) -> None:
    before = objects(vault.folder)
    with pytest.raises((RefusedError, ObjectExistsError)):
        storage.put(name, b"x", create=create)
    assert objects(vault.folder) == before


def test_a_new_repository_gets_its_keys_from_whoever_makes_it_and_no_others_later(tmp_path: Path) -> None:
    storage = remote(tmp_path / "vault", append_only=True)
    storage.prepare()
    for kind in ("spare", "keys"):
        storage.put(f"{kind}/000001-{HASH}", b"ring", create=True)
    storage.put("config", b"config", create=True)
    for name in (f"keys/000002-{HASH}", f"spare/000002-{HASH}"):
        with pytest.raises(RefusedError, match="keys can't be changed"):
            storage.put(name, b"another ring", create=True)


def stamp(seconds: int) -> str:
    return (utc_now() + datetime.timedelta(seconds=seconds)).strftime("%Y%m%dT%H%M%SZ")


def test_leases_are_given_back_and_a_prunes_is_left_alone_until_it_has_expired(vault: Vault) -> None:
    storage, owner = vault.host.storage, FolderStorage(vault.folder)
    with lease(storage, "shared"):
        pass
    assert list(storage.list("locks")) == []
    held, expired = (f"locks/exclusive-{stamp(seconds)}-{'1' * 32}" for seconds in (-30, -90))
    for name in (held, expired):
        owner.put(name, b"a prune", create=True)
    with pytest.raises(RefusedError, match="before it has expired"):
        storage.delete(held)
    storage.delete(expired)
    assert [stored.name for stored in storage.list("locks")] == [held]


def test_the_reserve_is_kept_at_the_size_that_it_needs(vault: Vault) -> None:
    storage = vault.host.storage
    assert reserve.keep(storage) == ""
    assert (vault.folder / "reserve").stat().st_blocks * 512 >= reserve.LEAST
    assert reserve.is_there(storage)
    assert storage.disk is not None
    assert storage.disk.has_room(1 << 20)
    for size in (1 << 40, -1):
        with pytest.raises(RefusedError, match="at most"):
            storage.disk.allocate("reserve", size)
        with pytest.raises(RefusedError, match="at most"):
            storage.disk.has_room(size)


def test_a_copy_is_made_with_a_key_that_can_only_add(vault: Vault, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    vault.backup(source)
    target = remote(tmp_path / "copy", append_only=True)
    assert copy_repository(vault.host.storage, target, plan=True).new
    assert not (tmp_path / "copy").exists()
    copy_repository(vault.host.storage, target)
    newest = vault.backup(source)
    assert copy_repository(vault.host.storage, target).backups == (newest.id,)
    copied = Repository(FolderStorage(tmp_path / "copy"), [vault.recovery_key])
    assert verify(copied, newest.id, "full").ok


def test_maintenance_does_what_a_host_may_not(vault: Vault, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    vault.backup(source)
    newest = vault.backup(source)
    caring = Repository(remote(vault.folder), [vault.recovery_key])
    add_key(caring, KeyHolder.of("another", Identity.generate().recipient))
    prune(Repository(remote(vault.folder), [vault.recovery_key]), RULES, "hive")
    assert repair(caring, {}).ok
    assert [backup.id for backup in vault.host.backups()] == [newest.id]


def test_a_pack_is_what_its_name_says(storage: RemoteStorage, vault: Vault) -> None:
    data = os.urandom(1000)
    storage.put(pack_name(hash_name(data)), data)
    assert (vault.folder / pack_name(hash_name(data))).read_bytes() == data


def test_a_hosts_lease_and_a_prunes_exclude_each_other(vault: Vault) -> None:
    caring = Repository(remote(vault.folder), [vault.recovery_key])
    with vault.host.lease("shared"), pytest.raises(BusyError):
        prune(caring, RULES, "hive")
    with caring.lease("exclusive"), pytest.raises(BusyError), vault.host.lease("shared"):
        pass
    assert list(vault.host.storage.list("locks")) == []
