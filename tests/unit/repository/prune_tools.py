"""Helpers: a storage that dies, time that passes, and what must hold of a repository afterwards."""

import contextlib
import datetime
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from propolis.clock import utc_now
from propolis.repository import Repository
from propolis.repository.access import leases
from propolis.repository.format.entries import BackupId
from propolis.repository.format.names import pack_name
from propolis.repository.io.stream import Stream
from propolis.repository.maintenance.usage import Indexes, Usage
from propolis.repository.read.restore import restore_folder
from propolis.repository.storage.base import Storage, Stored
from propolis.repository.storage.folder import FolderStorage
from unit.repository.memory_storage import MemoryStorage
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

    def get(self, name: str, limit: int) -> memoryview:
        self._count(0)
        return super().get(name, limit)

    @contextlib.contextmanager
    def stream(self, name: str, limit: int) -> Iterator[Stream]:
        self._count(0)
        with super().stream(name, limit) as stream:
            yield stream

    def list(self, prefix: str) -> Iterator[Stored]:
        self._count(0)
        return super().list(prefix)

    def flush(self) -> None:
        self._count(0)
        super().flush()


class Clocks:
    """The storages' clock and the one of the host at work, as seconds that they are ahead of ours."""

    def __init__(self) -> None:
        self.host = self.storages = 0.0

    @contextlib.contextmanager
    def asleep(self, seconds: float = 1000) -> Iterator[None]:
        """The host freezes, clock and all, for longer than a lease lasts: the block is what others do meanwhile."""
        before = self.host
        self.storages += seconds
        self.host = self.storages
        yield
        self.host = before

    def set(self) -> None:
        """The host notices what time it is."""
        self.host = self.storages

    @contextlib.contextmanager
    def rule(self) -> Iterator[None]:
        """In the block, leases go by these clocks."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(leases, "utc_now", lambda: utc_now() + datetime.timedelta(seconds=self.host))
            patch.setattr(leases, "time", _Time(self))
            yield


class _Time:
    """What `locks` uses of the module `time`. A frozen host's clocks stood still: it doesn't see that it slept."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME
    clock_gettime = staticmethod(time.clock_gettime)

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks

    def time(self) -> float:
        return time.time() + self._clocks.host


class Dated(MemoryStorage):
    """A storage in memory that knows when its objects were written, for which time passes at a word."""

    def __init__(self, objects: dict[str, bytes] | None = None, clocks: Clocks | None = None) -> None:
        super().__init__(objects)
        self.clocks = clocks or Clocks()
        self.dates = dict.fromkeys(self.objects, time.time_ns())

    @classmethod
    def of(cls, vault: Vault, clocks: Clocks) -> "Dated":
        """What is in a repository, two days old."""
        found = cls({str(path.relative_to(vault.folder)): path.read_bytes() for path in vault.objects("")}, clocks)
        found.age()
        return found

    def put(self, name: str, data: Any, *, create: bool = False) -> None:
        self.dates[name] = time.time_ns() + int(self.clocks.storages * 1e9)
        super().put(name, data, create=create)

    def list(self, prefix: str) -> Iterator[Stored]:
        for stored in super().list(prefix):
            yield Stored(stored.name, stored.size, self.dates[stored.name])

    def clone(self) -> "Dated":
        twin = Dated(self.objects, self.clocks)
        twin.dates = dict(self.dates)
        return twin

    def names(self, *kinds: str) -> set[str]:
        return {name for name in self.objects if name.partition("/")[0] in kinds}

    def age(self) -> None:
        """Make all objects two days older."""
        self.dates = {name: date - 2 * DAY * 10**9 for name, date in self.dates.items()}

    def expire_leases(self) -> None:
        """Let the time of all leases pass."""
        for name in self.names("locks"):
            kind, _, token = name.split("-")
            self.objects[f"{kind}-20200101T000000Z-{token}"] = self.objects.pop(name)
            self.dates[f"{kind}-20200101T000000Z-{token}"] = self.dates[name]


class Forgetful(Dated):
    """Says that it stored an object, and didn't, or only half of it."""

    forgets = ""
    keeps = 0

    def put(self, name: str, data: Any, *, create: bool = False) -> None:
        if not name.startswith(self.forgets):
            super().put(name, data, create=create)
        elif self.keeps:
            super().put(name, bytes(data)[: self.keeps], create=create)


class Process:
    """One process. Right before the n-th thing it does, or the n-th change, it is killed, or `event` happens.

    All of its threads wait meanwhile. Nothing happens between a look at the own lease and the deletion right after
    it: a storage can't do both at once, so for one request nobody can help that.
    """

    def __init__(self, at: int = 0, event: Callable[[], None] | None = None, *, changes_only: bool = False) -> None:
        self._at, self._event, self._changes_only = at, event, changes_only
        self._lock = threading.RLock()
        self._looked = False
        self.done = 0
        self.dead = False
        self.stored: list[str] = []
        """Names of all that it put."""

    def step(self, what: str, name: str = "") -> None:
        """Told before everything that it does."""
        with self._lock:
            if what in ("put", "delete") or not self._changes_only:
                self.done += 1
                if self.done == self._at:
                    if self._event is None:
                        self.dead = True
                    elif what == "delete" and self._looked:
                        self._at += 1
                    else:
                        self._event()
            self._looked = what == "size" and name.startswith("locks/")
            if self.dead:
                raise Killed
            if what == "put":
                self.stored.append(name)


class View:
    """A storage as a process uses it."""

    def __init__(self, storage: Storage, process: Process) -> None:
        self._storage, self._process = storage, process
        self.place = storage.place
        self.lock, self.folder, self.disk, self.at = storage.lock, storage.folder, storage.disk, storage.at

    def prepare(self) -> None:
        self._storage.prepare()

    def put(self, name: str, data: Any, *, create: bool = False) -> None:
        self._process.step("put", name)
        self._storage.put(name, data, create=create)

    def delete(self, name: str) -> None:
        self._process.step("delete", name)
        self._storage.delete(name)

    def get(self, name: str, limit: int) -> memoryview:
        self._process.step("get", name)
        return self._storage.get(name, limit)

    def stream(self, name: str, limit: int) -> contextlib.AbstractContextManager[Stream]:
        self._process.step("get", name)
        return self._storage.stream(name, limit)

    def head(self, name: str, count: int) -> memoryview:
        self._process.step("head", name)
        return self._storage.head(name, count)

    def size(self, name: str) -> int | None:
        self._process.step("size", name)
        return self._storage.size(name)

    def list(self, prefix: str) -> Iterator[Stored]:
        self._process.step("list", prefix)
        return self._storage.list(prefix)

    def flush(self) -> None:
        self._process.step("flush")
        self._storage.flush()


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


def remaining(vault: Vault) -> list[BackupId]:
    return [id for id, _ in vault.host.names()]


def restores(where: Any, id: str = "") -> str:
    """A fingerprint of a folder, or of what a backup restores."""
    if isinstance(where, Path):
        return hashlib.sha256(repr(sorted(snapshot(where).items())).encode()).hexdigest()
    full = where if isinstance(where, Repository) else where.full
    with tempfile.TemporaryDirectory() as scratch:
        restore_folder(full, full.manifest(BackupId(id)), TREE, Path(scratch) / "out")
        return restores(Path(scratch) / "out")


def no_garbage_is_left(vault: Vault) -> None:
    """Every pack is known, every byte in it is needed, and nothing else lies about."""
    no_garbage(vault.host)


def no_garbage(repository: Repository) -> None:
    """The same of a repository that was opened with any key."""
    table = Indexes(repository).load()
    usage = Usage(repository, table, [id for id, _ in repository.names()])
    storage = repository.storage
    assert usage.findings == []
    names = [pack_name(pack.hash) for pack in table.packs]
    assert {stored.name for stored in storage.list("packs")} == set(names) == set(usage.stored)
    assert usage.used == [pack.plain for pack in table.packs]
    assert list(storage.list("tmp")) == []
    assert list(storage.list("locks")) == []
