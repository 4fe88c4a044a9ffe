"""A served repository when the connection is cut, the server is killed or falls silent: nothing half done is seen."""

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from propolis.errors import RepositoryError
from propolis.link import frames
from propolis.repository import Identity, Repository, verify
from propolis.repository.storage.base import ObjectExistsError
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.storage.opening import open_storage
from propolis.repository.storage.remote import client, connection, messages
from propolis.repository.storage.remote.client import RemoteStorage
from propolis.repository.storage.remote.connection import Connection, LostError
from propolis.s3.endpoint import Patience
from unit.repository.repository_tools import TREE, Vault, fill
from unit.repository.storage.served import HASTY, Cut, Far, Serving, Slow, remote, served

PACK = random.Random(1).randbytes((3 << 20) + 77)
LEASE = "locks/shared-20261127T120000Z-00000000000000000000000000000000"


def cut_first(folder: Path, **where: int) -> RemoteStorage:
    """A storage whose first connection is cut, and only that."""
    ends = itertools.chain([Cut(folder, **where)], iter(lambda: Serving(folder), None))
    return RemoteStorage(lambda: next(ends), str(folder), f"ssh://backup.example{folder}", HASTY)


def use(storage: RemoteStorage) -> None:
    """A little of everything, each with the result that it has without a cut."""
    storage.prepare()
    storage.put("packs/00/one", PACK)
    storage.put(LEASE, b"mine", create=True)
    assert bytes(storage.get(LEASE, 100)) == b"mine"
    with pytest.raises(ObjectExistsError):
        storage.put(LEASE, b"another's", create=True)
    with storage.stream("packs/00/one", 8 << 20) as stream:
        assert b"".join(map(bytes, stream.pieces)) == PACK
    assert storage.get("packs/00/one", 8 << 20) == PACK
    assert storage.head("packs/00/one", 2 << 20) == PACK[: 2 << 20]
    assert [stored.name for stored in storage.list("packs")] == ["packs/00/one"]
    storage.put("packs/00/two", b"x")
    storage.delete("packs/00/two")
    storage.flush()
    assert storage.size("packs/00/two") is None


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("tmp/*")]


@pytest.mark.parametrize("way", ["sent", "received"])
def test_whatever_is_cut_goes_on_over_a_new_connection(tmp_path: Path, way: str) -> None:
    size = len(PACK)
    places = [0, 3, 4, 60, 150, 200, 300, 400, 600, 10_000, 1 << 20, size // 2]
    places += [size + more for more in range(-40, 1500, 150)] if way == "sent" else [size * 2, size * 2 + 900]
    for number, place in enumerate(places):
        folder = tmp_path / str(number)
        storage = cut_first(folder, **{way: place})
        use(storage)
        storage.close()
        assert leftovers(folder) == []
        assert (folder / "packs/00/one").read_bytes() == PACK


def test_a_backup_over_a_connection_that_is_cut_is_whole(tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    host, recovery = Identity.generate(), Identity.generate()
    folder = tmp_path / "vault"
    Repository.create(made(folder), [recovery.recipient], host, segment_bytes=1 << 20)
    for place in (2_000, 500_000, 2_000_000, 4_900_000, 4_930_000):
        opened = Repository(cut_first(folder, sent=place), [host])
        vault = Vault(folder, host, recovery, opened, Repository(FolderStorage(folder), [recovery]))
        summary = vault.backup(source, TREE, parent=None)
        assert verify(vault.full, summary.id, "full").ok
        assert list(vault.full.storage.list("locks")) == []
        assert leftovers(folder) == []


def made(folder: Path) -> RemoteStorage:
    storage = remote(folder)
    storage.prepare()
    return storage


class Deaf(Far):
    """A server that opens, then says nothing."""

    def serve(self) -> None:
        opened = messages.Opened(protocol=messages.PROTOCOL, propolis="1", append_only=False)
        data = messages.encode(opened)
        os.write(self.sink, len(data).to_bytes(4, "big") + data)
        while os.read(self.source, 1 << 16):
            pass


def test_a_server_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    lost = Connection(Deaf, "/x", "ssh://host/x", silence=0.2)
    with pytest.raises(LostError, match="silent"):
        lost.ask(lambda id: messages.Size(id=id, name="config"))


def test_both_sides_beat_while_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "BEAT", 0.02)
    open_ = Connection(lambda: Serving(tmp_path), str(tmp_path), "ssh://host/x", silence=2.0)
    heard: list[float] = []
    fill_ = open_._reader._fill
    enough = threading.Event()

    def filled(target: memoryview) -> int:
        heard.append(time.monotonic())
        if len(heard) > 10:
            enough.set()
        return fill_(target)

    open_._reader._fill = filled  # type: ignore[method-assign]
    assert enough.wait(30)
    assert open_.ask(lambda id: messages.Size(id=id, name="config")) is not None
    open_.close()


def test_a_server_that_ends_for_good_is_an_error_after_some_tries(tmp_path: Path) -> None:
    ends = iter([Serving(tmp_path)])
    tries: list[int] = []

    class Gone(Far):
        def serve(self) -> None:
            tries.append(1)

        def exit_code(self) -> int:
            return 255

        def told(self) -> str:
            return "ssh: connect to host backup port 22: Connection refused"

    storage = RemoteStorage(lambda: next(ends, None) or Gone(), str(tmp_path), "ssh://backup/x", HASTY)
    storage.prepare()
    storage.close()
    with pytest.raises(RepositoryError, match=r"can't be reached.*Connection refused") as raised:
        storage.size("config")
    assert raised.value.exit_code == 13
    assert len(tries) == HASTY.retries + 1


def test_a_storage_that_is_no_longer_used_ends_its_server(tmp_path: Path) -> None:
    far = Serving(tmp_path)
    storage = RemoteStorage(lambda: far, str(tmp_path), "ssh://backup/x", HASTY)
    storage.prepare()
    del storage
    far.thread.join(30)
    assert not far.thread.is_alive()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[RemoteStorage]:
    storage = open_storage(served(tmp_path / "vault"))
    assert isinstance(storage, RemoteStorage)
    storage.prepare()
    yield storage
    storage.close()


def pid_of(storage: RemoteStorage) -> int:
    open_ = storage._link.get()
    return open_._far.pid  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_is_killed_is_started_again(
    process: RemoteStorage, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    first = pid_of(process)
    send = frames.send_frame
    sent: list[int] = []

    def killing(file: int, head: bytes, bulk: bytes | bytearray | memoryview = b"") -> None:
        send(file, head, bulk)
        sent.append(len(bulk))
        if len(sent) == 4:  # in the middle of an object
            os.kill(first, how)

    monkeypatch.setattr(connection, "send_frame", killing)
    process.put("packs/00/one", PACK)
    assert process.get("packs/00/one", 8 << 20) == PACK
    assert pid_of(process) != first


def test_an_interrupt_in_the_middle_of_an_object_leaves_nothing_and_the_next_request_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = made(tmp_path / "vault")
    send = frames.send_frame
    sent: list[int] = []

    def interrupted(file: int, head: bytes, bulk: bytes | bytearray | memoryview = b"") -> None:
        sent.append(len(bulk))
        if len(sent) == 4:
            os.write(file, b"\0\0\1")  # as if half a frame had been sent
            raise KeyboardInterrupt
        send(file, head, bulk)

    monkeypatch.setattr(connection, "send_frame", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.put("packs/00/one", PACK)
    storage.put(LEASE, b"x", create=True)
    storage.delete(LEASE)
    storage.flush()
    storage.close()
    assert [str(path) for path in (tmp_path / "vault").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("kind", "most"), [(Serving, 1), (Slow, client.MOST)])
def test_a_host_far_away_gets_more_connections_when_there_is_much_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Serving], most: int
) -> None:
    monkeypatch.setattr(client, "FAR", 0.015 if most > 1 else 60.0)
    started: list[Serving] = []

    def start() -> Serving:
        started.append(kind(tmp_path))
        return started[-1]

    storage = RemoteStorage(start, str(tmp_path), "ssh://backup.example/x", HASTY)
    storage.prepare()
    with ThreadPoolExecutor(8) as pool:
        for turn in range(20):
            names = [f"packs/00/{turn}-{number}" for number in range(8)]
            list(pool.map(lambda name: storage.put(name, PACK[:100_000]), names))
            if len(started) >= client.MOST:
                break
        assert all(pool.map(lambda name: storage.get(name, 1 << 20) == PACK[:100_000], names))
    assert len(started) == most
    storage.close()
    for far in started:
        far.thread.join(30)
        assert not far.thread.is_alive()


def test_threads_that_wait_for_a_host_try_together(tmp_path: Path) -> None:
    tries: list[int] = []
    waiting = threading.Barrier(6, timeout=30)

    class Gone(Far):
        def serve(self) -> None:
            tries.append(1)
            time.sleep(0.2)  # until all wait for it

    storage = RemoteStorage(Gone, str(tmp_path), "ssh://backup/x", Patience(retries=0))

    def ask(_: int) -> str:
        waiting.wait()
        with pytest.raises(RepositoryError, match="can't be reached") as raised:
            storage.size("config")
        return raised.value.what

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1
    assert len(tries) < 6
