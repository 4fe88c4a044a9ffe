"""Every storage keeps the same promises: a folder, one that is served, and real servers of buckets of all kinds."""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from integration.repository import s3_lab
from propolis.config.places import ObjectLockConfig
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository import Facts, Identity, Location, Repository, restore_bucket, restore_folder, verify
from propolis.repository.io.stream import PIECE
from propolis.repository.storage.base import MissingObjectError, ObjectExistsError, Storage
from propolis.repository.storage.opening import open_storage
from propolis.repository.write.begin import begin
from propolis.s3.objects import ObjectMeta
from propolis.stack.files.bucket import S3Bucket
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server
from unit.repository.repository_tools import TREE, fill, snapshot
from unit.repository.storage.served import remote, served

LARGEST = 17 << 20
"""As large as a pack gets: 16 MiB that didn't shrink, and what encryption adds."""
LOCK = "locks/shared-20261123T224500Z-00000000000000000000000000000000"
OF_SERVERS = ("", "-versioned", "-lockable", "-locked")
# A locked bucket keeps versions, too: SeaweedFS, the slowest, passes all four and shows it in these two.
KINDS = [
    "folder",
    "served",
    *(s3 + kind for s3 in ("minio", "versitygw") for kind in OF_SERVERS),
    "seaweedfs",
    "seaweedfs-locked",
]
OF_BUCKETS = KINDS[2:]

MakeLocation = Callable[[], Location]


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], S3Server]]:
    """Each real server, started when it is first needed."""
    running: dict[str, S3Server] = {}
    programs: tuple[s3_stores.Kind, ...] = ("minio", "versitygw", "seaweedfs")
    with contextlib.ExitStack() as stack:

        def server(kind: str) -> S3Server:
            (name,) = (program for program in programs if kind.startswith(program))
            if name not in running:
                running[name] = stack.enter_context(s3_stores.run(name))
            return running[name]

        yield server


def in_bucket(server: S3Server, kind: str) -> Location:
    bucket = f"test-{uuid4().hex[:12]}"
    lockable = kind.endswith(("lockable", "locked"))
    s3_lab.make_bucket(server, bucket, versioned=kind.endswith("versioned"), lockable=lockable)
    return Location(
        f"s3://{bucket}/some/prefix",
        server.endpoint,
        server.region,
        server.keys.access,
        server.keys.secret,
        object_lock=ObjectLockConfig(mode="governance", days=1) if kind.endswith("locked") else None,
    )


@pytest.fixture(params=KINDS)
def location(request: pytest.FixtureRequest, servers: Callable[[str], S3Server], tmp_path: Path) -> Location:
    kind: str = request.param
    if kind == "folder":
        return Location(str(tmp_path / "vault"))
    return served(tmp_path / "vault") if kind == "served" else in_bucket(servers(kind), kind)


@pytest.fixture
def storage(location: Location, tmp_path: Path) -> Storage:
    # A process a test would take a minute in all; what goes over the connection is the same.
    storage = remote(tmp_path / "vault") if location.command else open_storage(location)
    storage.prepare()
    return storage


def read(storage: Storage, name: str, limit: int = 1 << 30) -> bytes:
    with storage.stream(name, limit) as stream:
        return b"".join(map(bytes, stream.pieces))


def names(storage: Storage, prefix: str) -> list[str]:
    return sorted(stored.name for stored in storage.list(prefix))


def test_what_is_put_is_got_back_whole_and_in_parts(storage: Storage) -> None:
    content = os.urandom(100_000)
    for data in (content, bytearray(content), memoryview(content)[:]):
        storage.put("packs/ab/one", data)
    storage.flush()
    assert bytes(storage.get("packs/ab/one", len(content))) == content
    assert bytes(storage.head("packs/ab/one", 1000)) == content[:1000]
    assert bytes(storage.head("packs/ab/one", 1 << 20)) == content
    assert bytes(storage.head("packs/ab/one", 0)) == b""
    assert storage.size("packs/ab/one") == len(content)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE + 4097])
def test_a_large_object_comes_in_pieces(storage: Storage, size: int) -> None:
    content = os.urandom(size)
    storage.put("packs/ab/one", content)
    for _ in range(2):
        with storage.stream("packs/ab/one", size) as stream:
            assert stream.size == size
            pieces = [bytes(piece) for piece in stream.pieces]
        assert b"".join(pieces) == content
        assert all(len(piece) == PIECE for piece in pieces[:-1])


def test_a_reader_that_gives_up_halfway_disturbs_no_other(storage: Storage) -> None:
    contents = {f"packs/ab/{number}": os.urandom(3 * PIECE) for number in range(3)}
    for name, content in contents.items():
        storage.put(name, content)
    for name, content in contents.items():
        with pytest.raises(KeyError), storage.stream(name, 1 << 30) as stream:
            assert bytes(next(iter(stream.pieces))) == content[:PIECE]
            raise KeyError
        with storage.stream(name, 1 << 30) as stream:
            assert bytes(next(iter(stream.pieces))) == content[:PIECE]
    for name, content in contents.items():
        assert read(storage, name) == content


def test_two_streams_can_be_read_in_turn(storage: Storage) -> None:
    contents = [os.urandom(3 * PIECE + number) for number in range(2)]
    for number, content in enumerate(contents):
        storage.put(f"packs/ab/{number}", content)
    with storage.stream("packs/ab/0", 1 << 30) as one, storage.stream("packs/ab/1", 1 << 30) as other:
        found = [(bytes(a), bytes(b)) for a, b in zip(one.pieces, other.pieces, strict=False)]
    for number, content in enumerate(contents):
        assert b"".join(pair[number] for pair in found) == content[: len(found) * PIECE]


def test_an_object_larger_than_allowed_is_refused(storage: Storage) -> None:
    storage.put("packs/ab/one", b"12345")
    for get in (storage.get, functools.partial(read, storage)):
        with pytest.raises(IntegrityError, match="has 5 bytes; at most 4 are allowed"):
            get("packs/ab/one", 4)


def test_an_empty_object_is_an_object(storage: Storage) -> None:
    for create in (False, True):
        name = f"locks/empty-{create}"
        storage.put(name, b"", create=create)
        assert bytes(storage.get(name, 0)) == b""
        assert bytes(storage.head(name, 100)) == b""
        assert storage.size(name) == 0
    assert sorted((stored.name, stored.size) for stored in storage.list("locks")) == [
        ("locks/empty-False", 0),
        ("locks/empty-True", 0),
    ]


def test_an_object_of_the_largest_size_goes_and_comes(storage: Storage) -> None:
    content = os.urandom(LARGEST)
    storage.put("packs/ff/large", content)
    storage.flush()
    assert storage.size("packs/ff/large") == LARGEST
    assert storage.get("packs/ff/large", LARGEST) == content
    assert bytes(storage.head("packs/ff/large", 200_000)) == content[:200_000]


def test_what_was_never_put_is_missing(storage: Storage) -> None:
    storage.put("keys/there", b"x")
    for missing in ("keys/elsewhere", "keys/ther", "keys/there2", "config", "packs/aa/bb"):
        assert storage.size(missing) is None
        storage.delete(missing)
        with pytest.raises(MissingObjectError, match=missing):
            storage.get(missing, 100)
        with pytest.raises(MissingObjectError, match=missing):
            storage.head(missing, 100)
        with pytest.raises(MissingObjectError, match=missing):
            read(storage, missing)
    assert names(storage, "packs") == []
    assert names(storage, "keys") == ["keys/there"]


def test_an_object_can_be_replaced_and_deleted(storage: Storage) -> None:
    storage.put("packs/ab/one", b"first, longer")
    storage.put("packs/ab/one", b"second")
    assert bytes(storage.get("packs/ab/one", 100)) == b"second"
    storage.delete("packs/ab/one")
    assert storage.size("packs/ab/one") is None
    assert names(storage, "packs") == []
    storage.put("packs/ab/one", b"third")
    assert bytes(storage.get("packs/ab/one", 100)) == b"third"
    storage.flush()


def test_creating_fails_when_the_object_is_there_and_leaves_it(storage: Storage) -> None:
    storage.put(LOCK, b"mine", create=True)
    for other in (b"others", b"mine"):
        with pytest.raises(ObjectExistsError, match=LOCK):
            storage.put(LOCK, other, create=True)
    assert bytes(storage.get(LOCK, 100)) == b"mine"
    storage.put("packs/ab/one", b"x")
    with pytest.raises(ObjectExistsError):
        storage.put("packs/ab/one", b"y", create=True)


def test_of_many_that_create_the_same_object_one_succeeds(storage: Storage) -> None:
    for round_ in range(5):
        start = threading.Barrier(8)

        def create(number: int, name: str = f"locks/{round_}", start: threading.Barrier = start) -> int | None:
            start.wait()
            try:
                storage.put(name, b"%d" % number * 500, create=True)
            except ObjectExistsError:
                return None
            return number

        with ThreadPoolExecutor(8) as pool:
            (winner,) = [number for number in pool.map(create, range(8)) if number is not None]
        assert bytes(storage.get(f"locks/{round_}", 1 << 20)) == b"%d" % winner * 500


def test_a_reader_beside_a_writer_sees_old_or_new_and_nothing_between(storage: Storage) -> None:
    versions = [bytes([number]) * (300_000 + number) for number in range(8)]
    storage.put("indexes/one", versions[0])
    done = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        while not done.is_set():
            seen.append(bytes(storage.get("indexes/one", 1 << 20)))

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for version in versions:
            storage.put("indexes/one", version)
        done.set()
        for reader in readers:
            reader.result()
    assert set(seen) <= set(versions)


def test_a_listing_is_complete_beyond_a_thousand_objects(storage: Storage) -> None:
    wanted = {f"packs/{number % 16:02x}/{number:05}": number % 7 for number in range(1100)}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: storage.put(name, b"x" * wanted[name]), wanted))
    storage.put("packs/0f-not", b"x")
    storage.put("indexes/other", b"x")
    listed = list(storage.list("packs"))
    assert {stored.name: stored.size for stored in listed} == {**wanted, "packs/0f-not": 1}
    assert len(listed) == len(wanted) + 1
    assert names(storage, "packs/0f") == sorted(name for name in wanted if name.startswith("packs/0f/"))
    assert names(storage, "removals") == []
    assert set(names(storage, "")) == {*wanted, "packs/0f-not", "indexes/other"}


def test_a_listing_tells_the_storages_own_time(storage: Storage) -> None:
    storage.put("locks/first", b"x", create=True)
    storage.put("packs/ab/second", b"x")
    times = [stored.modified_ns for prefix in ("locks", "packs") for stored in storage.list(prefix)]
    assert len(times) == 2
    assert all(abs(moment - times[0]) < 600 * 10**9 for moment in times)
    assert times[0] > 1_500_000_000 * 10**9


@pytest.mark.parametrize(
    "name", ["holds/a b", "holds/%41", "holds/a+b&c?d#e", "holds/~é", "holds/'\"<>|*", "holds/b/c/d/e"]
)
def test_an_odd_name_is_kept_as_it_is(storage: Storage, name: str) -> None:
    storage.put(name, name.encode())
    assert bytes(storage.get(name, 1000)) == name.encode()
    assert names(storage, name.rpartition("/")[0]) == [name]
    storage.delete(name)
    assert storage.size(name) is None


@pytest.mark.parametrize(
    "name", ["", "/", "/etc/x", "a//b", "a/", "../x", "a/../../x", "a/./b", "a\nb", "a\0b", "x" * 256]
)
def test_what_can_be_no_name_is_refused(storage: Storage, name: str) -> None:
    for use in (
        lambda: storage.put(name, b"x"),
        lambda: storage.put(name, b"x", create=True),
        lambda: storage.get(name, 10),
        lambda: storage.head(name, 10),
        lambda: storage.size(name),
        lambda: storage.delete(name),
    ):
        with pytest.raises(RepositoryError, match="not a valid object name"):
            use()


def test_many_threads_can_use_one_storage(storage: Storage) -> None:
    def work(number: int) -> bool:
        name, content = f"packs/{number:02}/x", os.urandom(50_000 + number)
        storage.put(name, content)
        storage.flush()
        return bytes(storage.get(name, 1 << 20)) == content and storage.size(name) == len(content)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))
    assert len(names(storage, "packs")) == 40


def test_a_whole_backup_goes_in_is_verified_and_comes_back(location: Location, tmp_path: Path) -> None:
    host, recovery = Identity.generate(), Identity.generate()
    repository = Repository.init(location, [recovery.recipient], host, segment_bytes=1 << 20)
    with pytest.raises(RepositoryError, match="already"):
        Repository.init(location, [recovery.recipient], host)
    source = fill(tmp_path / "source")
    for _ in range(2):
        with begin(repository, "hive") as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            summary = writer.commit(Facts())
    assert writer.stats.read == 0
    full = Repository.open(location, [recovery])
    assert [found.id for found in full.backups()][-1] == summary.id
    assert verify(full, summary.id, "full").ok
    restore_folder(full, full.manifest(summary.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
    assert names(full.storage, "locks") == []
    pack = names(full.storage, "packs")[0]
    full.storage.delete(pack)
    assert not verify(full, summary.id, "manifest").ok


def test_storage_that_has_gone_is_an_error_and_not_an_empty_repository(location: Location, tmp_path: Path) -> None:
    if location.is_folder:
        gone = Location(str(tmp_path / "unmounted"))
    elif location.command:
        gone = served(tmp_path / "unmounted")
    else:
        gone = Location(
            "s3://no-such-bucket/x", location.endpoint, location.region, location.access_key, location.secret_key
        )
    storage = open_storage(gone)
    for use in (
        lambda: storage.put("config", b"x"),
        lambda: storage.put("config", b"x", create=True),
        lambda: storage.get("config", 10),
        lambda: read(storage, "config"),
        lambda: storage.head("config", 10),
        lambda: storage.size("config"),
        lambda: list(storage.list("manifests")),
    ):
        with pytest.raises(RepositoryError, match=r"no such (bucket|folder)"):
            use()


@pytest.mark.parametrize("kind", OF_BUCKETS)
def test_a_large_object_of_a_bucket_is_restored_in_parts(servers: Any, kind: str, tmp_path: Path) -> None:
    server = servers(kind)
    place = in_bucket(server, kind)
    bucket = place.url.removeprefix("s3://").partition("/")[0]
    stack, target = S3Bucket.open(bucket, "hive", place.server), S3Bucket.open(bucket, "back", place.server)
    large = os.urandom((40 << 20) + 3)
    stack.put(ObjectMeta("attachment/large", len(large), content_type="text/x", metadata={"a": "b"}), [large])
    recovery = Identity.generate()
    repository = Repository.init(Location(str(tmp_path / "vault")), [recovery.recipient])
    full = Repository.open(Location(str(tmp_path / "vault")), [recovery])
    assert repository.info == full.info
    with begin(full, "hive") as writer:
        writer.add_bucket("files", "files/bucket", stack, "s3://hive")
        summary = writer.commit(Facts())
    restore_bucket(full, full.manifest(summary.id), "files/bucket", target)
    meta, chunks = target.open_object("attachment/large")
    assert b"".join(bytes(chunk) for chunk in chunks) == large
    assert (meta.size, meta.content_type, meta.metadata) == (len(large), "text/x", {"a": "b"})
    # Sent in parts: S3 says so in the tag, a dash and their number.
    assert meta.etag.strip('"').endswith("-6")
