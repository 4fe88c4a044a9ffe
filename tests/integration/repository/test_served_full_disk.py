"""A full disk at the far end: a backup says so and leaves no half object, and a prune with the reserve makes room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.clone.filesystems import run
from integration.repository.test_unwritable import fill
from propolis.config.places import KeepConfig, RetentionConfig
from propolis.repository import Identity, Repository, verify
from propolis.repository.maintenance.prune import prune
from propolis.repository.storage import reserve
from propolis.repository.storage.base import NoRoomError
from unit.repository.repository_tools import Vault
from unit.repository.storage.served import remote

RULES = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, grace_hours=0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "disk"
    point.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(point))
    try:
        yield point
    finally:
        run("umount", str(point))


def test_a_full_disk_at_the_far_end(disk: Path, tmp_path: Path) -> None:
    folder, host, recovery = disk / "vault", Identity.generate(), Identity.generate()
    storage = remote(folder, append_only=True)
    storage.prepare()
    opened = Repository.create(storage, [recovery.recipient], host)
    vault = Vault(folder, host, recovery, opened, Repository(remote(folder), [recovery]))
    assert reserve.keep(storage) == ""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        with (source / "data").open("wb") as file:
            file.write(bytes([number]) * 100 + os.urandom(9 << 20))
        last = vault.backup(source)
    (source / "data").write_bytes(os.urandom(9 << 20))
    fill(disk)
    with pytest.raises(NoRoomError, match=r"ssh://\S+ can't be written: No space left") as raised:
        vault.backup(source)
    assert "propolis repository prune" in raised.value.next
    assert list((folder / "tmp").iterdir()) == []
    # Nothing may be written, not even a lease: but the reserve is there for that.
    result = prune(vault.full, RULES, "hive")
    assert any("reserve" in remark for remark in result.remarks)
    assert verify(Repository(remote(folder), [recovery]), last.id, "full").ok
    vault.backup(source)
    assert reserve.is_there(storage)
