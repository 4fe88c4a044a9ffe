"""Whatever happens between Propolis and the store: it is tried again or fails clearly; no success is ever false."""

import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from integration.repository.fault_proxies import Connection, Fault, Relay, connection, relay
from propolis.errors import BusyError, RepositoryError
from propolis.repository import BackupSummary, Facts, Identity, Location, Repository, restore_folder, verify
from propolis.repository.storage.base import ObjectExistsError
from propolis.repository.storage.bucket import S3Storage
from propolis.repository.write.begin import begin
from propolis.s3.client import open_bucket
from propolis.s3.endpoint import Endpoint, Patience
from propolis.s3.objects import ObjectMeta
from propolis.stack.files.bucket import S3Bucket
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server
from unit.repository.repository_tools import TREE, snapshot

HASTY = Patience(retries=2, first_wait=0.05, longest_wait=0.2, total=20, connect=2, silence=2)
STUBBORN = Patience(retries=30, first_wait=0.05, longest_wait=0.3, total=60, connect=2, silence=5)
BEFORE = Fault(503, reaches_the_store=False)
UNHEARD = Fault(500, reaches_the_store=True)
DROPPED = Fault(None, reaches_the_store=True)


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with s3_stores.run("minio") as running:
        yield running


@pytest.fixture(scope="module")
def shared_line(store: S3Server) -> Iterator[Connection]:
    with connection(store.endpoint) as running:
        yield running


@pytest.fixture
def line(shared_line: Connection) -> Iterator[Connection]:
    yield shared_line
    shared_line.heal()


@pytest.fixture(scope="module")
def shared_relay(store: S3Server) -> Iterator[Relay]:
    with relay(store.endpoint) as running:
        yield running


@pytest.fixture
def server(shared_relay: Relay) -> Iterator[Relay]:
    shared_relay.faults = 0
    yield shared_relay
    shared_relay.choose = lambda method, path: None


@dataclass
class Vault:
    """A repository in the store with one good backup, and a folder that has changed since."""

    direct: Location
    host: Identity
    recovery: Identity
    source: Path
    first: BackupSummary

    def through(self, endpoint: str, patience: Patience = HASTY) -> Repository:
        """Open it by another way, with all keys."""
        return Repository(S3Storage(replace(self.direct, endpoint=endpoint), patience), [self.recovery])

    def backup(self, repository: Repository, observer: Any = None) -> BackupSummary:
        with begin(repository, "hive", observer=observer) as writer:
            writer.add_folder("files", TREE, self.source, Path("/original"))
            return writer.commit(Facts())

    def check(self, known: list[BackupSummary], folder: Path) -> None:
        """Exactly these backups are there, whole; the last one holds what the folder does now; a next one works."""
        repository = Repository.open(self.direct, [self.recovery])
        assert [summary.id for summary in repository.backups()] == [summary.id for summary in known]
        for summary in known:
            assert verify(repository, summary.id, "full").ok
        following = self.backup(repository)
        for number, summary in enumerate([*known[1:], following]):
            restore_folder(repository, repository.manifest(summary.id), TREE, folder / str(number))
            assert snapshot(folder / str(number)) == snapshot(self.source)


@pytest.fixture
def vault(store: S3Server, tmp_path: Path) -> Vault:
    bucket = f"test-{uuid4().hex[:12]}"
    store.make_bucket(bucket)
    direct = Location(f"s3://{bucket}/x", store.endpoint, store.region, store.keys.access, store.keys.secret)
    host, recovery = Identity.generate(), Identity.generate()
    repository = Repository.init(direct, [recovery.recipient], host, segment_bytes=256 << 10)
    source = tmp_path / "source"
    source.mkdir()
    (source / "old").write_bytes(os.urandom(100_000))
    made = Vault(direct, host, recovery, source, None)  # type: ignore[arg-type]
    made.first = made.backup(repository)
    for number in range(12):
        (source / f"{number}").write_bytes(os.urandom((256 << 10) - number))
    return made


def once(action: Callable[[], None]) -> Callable[[object], None]:
    """An observer that acts when the first pack is stored."""
    lock = threading.Lock()
    done: list[bool] = []

    def observe(stats: Any) -> None:
        with lock:
            if stats.packs and not done:
                done.append(True)
                action()

    return observe


FAULTS: dict[str, Callable[[Connection], None]] = {
    "cut": lambda line: line.cut(),
    "reset": lambda line: line.poison("reset_peer", timeout=0),
    "reset a little later": lambda line: line.poison("reset_peer", timeout=20),
    "requests half-written": lambda line: line.poison("limit_data", "upstream", bytes=40_000),
    "answers half-written": lambda line: line.poison("limit_data", "downstream", bytes=100),
    "requests swallowed": lambda line: line.poison("timeout", "upstream", timeout=0),
    "answers swallowed": lambda line: line.poison("timeout", "downstream", timeout=0),
    "answers ended": lambda line: line.poison("timeout", "downstream", timeout=50),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_short_fault_is_bridged(vault: Vault, line: Connection, tmp_path: Path, fault: str) -> None:
    healing: list[threading.Timer] = []

    def disturb() -> None:
        FAULTS[fault](line)
        healing.append(threading.Timer(0.5, line.heal))
        healing[0].start()

    second = vault.backup(vault.through(line.endpoint, STUBBORN), once(disturb))
    assert healing
    healing[0].join()
    vault.check([vault.first, second], tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lasting_fault_is_a_clear_failure_and_loses_nothing(
    vault: Vault, line: Connection, tmp_path: Path, fault: str
) -> None:
    repository = vault.through(line.endpoint)
    with pytest.raises(RepositoryError) as caught:
        vault.backup(repository, once(lambda: FAULTS[fault](line)))
    assert "\n" not in str(caught.value)
    assert any(why in caught.value.what for why in ("doesn't answer", "didn't answer in time", "connection broke"))
    assert caught.value.next
    line.heal()
    vault.check([vault.first], tmp_path)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "cut"])
def test_a_fault_now_and_then_is_survived_or_a_clear_failure(
    vault: Vault, line: Connection, tmp_path: Path, fault: str, seed: int
) -> None:
    chance = random.Random(f"{fault} {seed}")
    repository = vault.through(line.endpoint, replace(HASTY, retries=4))
    over = threading.Event()

    def disturb() -> None:
        while not over.wait(chance.uniform(0, 0.15)):
            FAULTS[fault](line)
            over.wait(chance.uniform(0, 0.15))
            line.heal()

    known = [vault.first]
    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        with contextlib.suppress(RepositoryError):
            known.append(vault.backup(repository))
    finally:
        over.set()
        disturber.join()
        line.heal()
    # A manifest may have arrived though its writer never heard so: then that backup must be whole as well.
    there = Repository.open(vault.direct, [vault.recovery]).backups()
    if len(known) == 1 and len(there) == 2:
        known.append(there[1])
    vault.check(known, tmp_path)


def test_a_slow_line_only_takes_longer(vault: Vault, line: Connection, tmp_path: Path) -> None:
    repository = vault.through(line.endpoint)
    line.poison("latency", latency=60, jitter=40)
    line.poison("bandwidth", "upstream", rate=3000)
    line.poison("slicer", average_size=2000, size_variation=1000, delay=10)
    second = vault.backup(repository)
    assert verify(repository, second.id, "full").ok
    line.heal()
    vault.check([vault.first, second], tmp_path)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "requests half-written"])
def test_a_fault_while_reading_is_never_taken_for_damage_or_success(
    vault: Vault, line: Connection, tmp_path: Path, fault: str
) -> None:
    second = vault.backup(vault.through(vault.direct.endpoint or ""))
    repository = vault.through(line.endpoint)
    with pytest.raises(RepositoryError):
        verify(repository, second.id, "full", observer=once(lambda: FAULTS[fault](line)))
    line.heal()
    manifest = repository.manifest(second.id)
    with pytest.raises(RepositoryError):
        restore_folder(repository, manifest, TREE, tmp_path / "out", observer=once(lambda: FAULTS[fault](line)))
    line.heal()
    vault.check([vault.first, second], tmp_path)


def every(number: int, fault: Fault, methods: str = "GET PUT HEAD POST DELETE") -> Callable[[str, str], Fault | None]:
    count = 0

    def choose(method: str, path: str) -> Fault | None:
        nonlocal count
        count += method in methods.split()
        return fault if method in methods.split() and count % number == 0 else None

    return choose


@pytest.mark.parametrize("fault", [BEFORE, UNHEARD, DROPPED], ids=["503", "500 after doing it", "no answer after it"])
def test_every_third_request_failing_changes_nothing(
    vault: Vault, server: Relay, tmp_path: Path, fault: Fault
) -> None:
    repository = vault.through(server.endpoint, STUBBORN)
    server.choose = every(3, fault)
    second = vault.backup(repository)
    assert verify(repository, second.id, "full").ok
    restore_folder(repository, repository.manifest(second.id), TREE, tmp_path / "through")
    assert snapshot(tmp_path / "through") == snapshot(vault.source)
    assert server.faults > 5
    vault.check([vault.first, second], tmp_path)


@pytest.mark.parametrize("fault", [BEFORE, UNHEARD, DROPPED], ids=["503", "500 after doing it", "no answer after it"])
def test_a_server_that_fails_all_writes_is_a_clear_failure(
    vault: Vault, server: Relay, tmp_path: Path, fault: Fault
) -> None:
    repository = vault.through(server.endpoint)

    def packs(method: str, path: str) -> Fault | None:
        return fault if method == "PUT" and "/packs/" in path else None

    server.choose = packs
    with pytest.raises(RepositoryError, match=r"overloaded|connection broke"):
        vault.backup(repository)
    vault.check([vault.first], tmp_path)


def test_what_was_created_unheard_counts_as_created(vault: Vault, server: Relay) -> None:
    storage = S3Storage(replace(vault.direct, endpoint=server.endpoint), HASTY)
    for number, fault in enumerate((UNHEARD, DROPPED, BEFORE)):
        faults = [fault]
        server.choose = lambda method, path, faults=faults: faults.pop() if faults else None  # type: ignore[misc]
        storage.put(f"locks/{number}", b"mine", create=True)
        assert bytes(storage.get(f"locks/{number}", 100)) == b"mine"
        with pytest.raises(ObjectExistsError):
            storage.put(f"locks/{number}", b"mine", create=True)
        faults.append(fault)
        with pytest.raises(ObjectExistsError):
            storage.put(f"locks/{number}", b"others", create=True)
        assert bytes(storage.get(f"locks/{number}", 100)) == b"mine"


def test_a_lease_lost_on_the_way_is_refused_or_held(vault: Vault, server: Relay) -> None:
    repository = vault.through(server.endpoint, STUBBORN)
    server.choose = every(2, DROPPED, "PUT POST DELETE")
    with repository.lease("exclusive"), pytest.raises(BusyError), repository.lease("shared"):
        pass
    server.choose = lambda method, path: None
    assert list(repository.storage.list("locks")) == []


def test_a_large_object_sent_in_parts_appears_whole_or_not_at_all(vault: Vault, line: Connection) -> None:
    bucket = vault.direct.url.removeprefix("s3://").partition("/")[0]
    settings: dict[str, Any] = {
        "region": "us-east-1",
        "access_key": vault.direct.access_key,
        "secret_key": vault.direct.secret_key,
    }
    target = S3Bucket(open_bucket(bucket, "hive", Endpoint(line.endpoint, **settings), patience=HASTY), "the bucket")
    direct = S3Bucket.open(bucket, "hive", vault.direct.server)
    content = os.urandom(40 << 20)

    def chunks() -> Iterator[bytes]:
        yield content[: 30 << 20]
        line.poison("limit_data", "upstream", bytes=1 << 20)
        yield content[30 << 20 :]

    with pytest.raises(RepositoryError, match="attachment/large in the bucket"):
        target.put(ObjectMeta("attachment/large", len(content)), chunks())
    assert list(direct.list()) == []
    line.heal()
    target.put(ObjectMeta("attachment/large", len(content)), [content])
    _, parts = direct.open_object("attachment/large")
    assert b"".join(bytes(part) for part in parts) == content
