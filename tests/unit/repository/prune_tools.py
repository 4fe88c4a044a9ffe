"""Helpers: a storage that dies, time that passes, and what must hold of a repository afterwards."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from propolis.repository.folder import FolderStorage
from propolis.repository.layout import pack_name
from propolis.repository.reader import restore_folder
from propolis.repository.storage import Stored
from propolis.repository.usage import Indexes, Usage
from unit.repository.repository_tools import TREE, Vault, snapshot

DAY = 86_400


class Killed(BaseException):
    """What a killed process would have done next never happened."""


class Dying(FolderStorage):
    """A folder whose user is killed right before the n-th change, and can do nothing from then on."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self._left = after
        self.dead = False

    def _count(self, change: int) -> None:
        self._left -= change
        if self._left <= 0:
            self.dead = True
        if self.dead:
            raise Killed

    def put(self, name: str, data: Any, *, create: bool = False) -> None:
        self._count(1)
        super().put(name, data, create=create)

    def delete(self, name: str) -> None:
        self._count(1)
        super().delete(name)

    def get(self, name: str, limit: int, into: memoryview | None = None) -> memoryview:
        self._count(0)
        return super().get(name, limit, into)

    def list(self, prefix: str) -> Iterator[Stored]:
        self._count(0)
        return super().list(prefix)

    def flush(self) -> None:
        self._count(0)
        super().flush()


def age(folder: Path) -> None:
    """Make all objects two days older, by the storage's clock."""
    for path in folder.rglob("*"):
        if path.is_file():
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 2 * DAY * 10**9))


def expire_leases(folder: Path) -> None:
    """Let the time of all leases pass."""
    for path in (folder / "locks").glob("*"):
        kind, _, token = path.name.split("-")
        path.rename(path.with_name(f"{kind}-20200101T000000Z-{token}"))


def remaining(vault: Vault) -> list[str]:
    return [id for id, _ in vault.host.names()]


def restores(where: Any, id: str = "") -> str:
    """A fingerprint of a folder, or of what a backup restores."""
    if isinstance(where, Path):
        return hashlib.sha256(repr(sorted(snapshot(where).items())).encode()).hexdigest()
    with tempfile.TemporaryDirectory() as scratch:
        restore_folder(where.full, where.full.manifest(id), TREE, Path(scratch) / "out")
        return restores(Path(scratch) / "out")


def no_garbage_is_left(vault: Vault) -> None:
    """Every pack is known, every byte in it is needed, and nothing else lies about."""
    indexes = Indexes(vault.host)
    table = indexes.load()
    usage = Usage(vault.host, table, [id for id, _ in vault.host.names()])
    assert usage.findings == []
    assert {path.name for path in vault.objects("packs")} == {pack.hash for pack in table.packs}
    assert set(usage.stored) == {pack_name(pack.hash) for pack in table.packs}
    assert usage.used == [pack.plain for pack in table.packs]
    assert vault.objects("tmp") == []
    assert vault.objects("locks") == []
