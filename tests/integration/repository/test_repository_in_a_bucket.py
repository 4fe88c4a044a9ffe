"""A repository in a real MinIO, and a real bucket as source and target."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from integration.repository.conftest import Minio
from propolis.errors import BusyError, IncompleteError, RepositoryError
from propolis.repository import Facts, Identity, Location, Repository, restore_bucket, restore_folder, verify
from propolis.repository.write.begin import begin
from propolis.s3.objects import ObjectMeta
from propolis.stack.files.bucket import S3Bucket
from unit.repository.repository_tools import TREE, fill, snapshot

CONTENTS = {
    "attachment/aa": b"small",
    "attachment/empty": b"",
    "attachment/with blank": b"blank",
    "attachment/plus+and%41&?#": b"odd",
    "attachment/ümlaut": b"not ascii",
    "attachment/large": os.urandom((33 << 20) + 5),
    **{f"attachment/{number:04}": os.urandom(number * 40) for number in range(200)},
}


Keys = tuple[Identity, Identity]


@pytest.fixture
def location(minio: Minio) -> Location:
    return Location(
        f"s3://{minio.bucket()}/some/prefix", minio.endpoint, "us-east-1", minio.access_key, minio.secret_key
    )


@pytest.fixture
def keys() -> Keys:
    return Identity.generate(), Identity.generate()


@pytest.fixture
def repository(location: Location, keys: Keys) -> Repository:
    return Repository.init(location, [keys[1].recipient], keys[0])


@pytest.fixture
def stack(minio: Minio) -> S3Bucket:
    bucket = S3Bucket.open(minio.bucket(), "hive", minio.reached)
    for key, content in CONTENTS.items():
        bucket.put(
            ObjectMeta(key, len(content), content_type="text/x", metadata={"owner": key[:12].strip()[:10]}), [content]
        )
    return bucket


def contents(bucket: Any) -> Any:
    found = {}
    for listed in bucket.list():
        meta, chunks = bucket.open_object(listed.key)
        found[listed.key] = (b"".join(bytes(chunk) for chunk in chunks), meta.content_type, meta.metadata)
    return found


def test_a_folder_goes_to_a_bucket_and_comes_back(
    repository: Repository, location: Location, keys: Keys, tmp_path: Path
) -> None:
    source = fill(tmp_path / "source")
    for _ in range(2):
        with begin(repository, "hive") as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            summary = writer.commit(Facts())
    assert writer.stats.read == 0
    full = Repository.open(location, [keys[1]])
    assert verify(full, summary.id, "full").ok
    restore_folder(full, full.manifest(full.resolve("latest")), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_a_bucket_is_backed_up_and_comes_back_with_content_types_and_metadata(
    repository: Repository, location: Location, keys: Keys, stack: S3Bucket, minio: Minio
) -> None:
    for _ in range(2):
        with begin(repository, "hive") as writer:
            writer.add_bucket("files", "files/bucket", stack, "s3://hive")
            summary = writer.commit(Facts())
    assert writer.stats.read == 0
    assert (summary.files, summary.bytes) == (len(CONTENTS), sum(map(len, CONTENTS.values())))
    full = Repository.open(location, [keys[1]])
    assert verify(full, summary.id, "full").ok
    target = S3Bucket.open(minio.bucket(), "back", minio.reached)
    restore_bucket(full, full.manifest(summary.id), "files/bucket", target)
    assert contents(target) == contents(stack)
    assert {key: content[0] for key, content in contents(target).items()} == CONTENTS


def test_a_changed_object_is_read_again(repository: Repository, stack: S3Bucket) -> Any:
    def backup() -> Any:
        with begin(repository, "hive") as writer:
            writer.add_bucket("files", "files/bucket", stack, "s3://hive")
            writer.commit(Facts())
        return writer.stats

    backup()
    stack.put(ObjectMeta("attachment/aa", 5, content_type="text/y"), [b"other"])
    assert backup().read == 5


def test_an_object_that_vanishes_is_named_and_no_backup_is_made(repository: Repository, stack: S3Bucket) -> Any:
    class Leaky:
        def list(self) -> Any:
            yield from stack.list()
            stack.delete("attachment/aa")

        open_object = staticmethod(stack.open_object)

    with pytest.raises(IncompleteError, match=r"attachment/aa \(it vanished"), begin(repository, "hive") as writer:
        writer.add_bucket("files", "files/bucket", Leaky(), "s3://hive")
        stack.delete("attachment/0199")
        writer.commit(Facts())
    assert repository.backups() == []


def test_leases_hold_in_a_bucket(repository: Repository, location: Location, keys: Keys) -> None:
    other = Repository.open(location, [keys[0]])
    shared, exclusive = repository.lease("shared"), other.lease("exclusive")
    with shared, pytest.raises(BusyError, match="in use by process"), exclusive:
        pass
    with other.lease("exclusive"):
        pass
    assert list(repository.storage.list("locks")) == []


def test_damage_in_a_bucket_is_found(
    repository: Repository, location: Location, keys: Keys, minio: Minio, tmp_path: Path
) -> None:
    source = fill(tmp_path / "source")
    with begin(repository, "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        summary = writer.commit(Facts())
    names = sorted(stored.name for stored in repository.storage.list("packs"))
    data = bytearray(repository.storage.get(names[0], 64 << 20))
    data[len(data) // 2] ^= 1
    repository.storage.put(names[0], data)
    repository.storage.delete(names[1])
    result = verify(repository, summary.id, "full")
    assert {finding.object for finding in result.findings} == set(names[:2])
    assert [finding.object for finding in verify(repository, summary.id, "manifest").findings] == [names[1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secret_key": "wrong-secret"}, "access key or secret key is wrong"),
        ({"access_key": "nobody"}, "access key or secret key is wrong"),
        ({"url": "s3://no-such-bucket/x"}, "no such bucket"),
        ({"url": "s3://{bucket}/elsewhere"}, "no repository at"),
    ],
)
def test_a_wrong_setting_is_named(
    repository: Repository, location: Location, keys: Keys, changes: Any, message: Any
) -> None:
    from dataclasses import replace

    bucket = location.url.removeprefix("s3://").partition("/")[0]
    changed = replace(location, **{name: value.format(bucket=bucket) for name, value in changes.items()})
    with pytest.raises(RepositoryError, match=message) as caught:
        Repository.open(changed, [keys[0]])
    if "elsewhere" not in changed.url:
        with pytest.raises(RepositoryError, match=message):
            Repository.init(changed, [keys[1].recipient])
    assert location.secret_key
    assert location.secret_key not in str(caught.value)
    assert location.secret_key not in repr(changed) + repr(location)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_an_error(keys: Keys) -> None:
    with pytest.raises(RepositoryError, match="doesn't answer"):
        Repository.open(Location("s3://bucket/x", "http://127.0.0.1:9", access_key="a", secret_key="b"), [keys[0]])


def test_a_full_disk_under_the_repository_is_an_error_and_frees_nothing(tmp_path: Path, keys: Keys) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(small)], check=True)
    try:
        repository = Repository.init(Location(str(small / "vault")), [keys[1].recipient], keys[0])
        source = tmp_path / "source"
        source.mkdir()
        (source / "fits").write_bytes(os.urandom(1 << 20))
        with begin(repository, "hive") as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            first = writer.commit(Facts())
        (source / "too large").write_bytes(os.urandom(40 << 20))
        with pytest.raises(RepositoryError, match="No space left"), begin(repository, "hive") as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            writer.commit(Facts())
        assert [summary.id for summary in repository.backups()] == [first.id]
        assert verify(repository, first.id, "full").ok
    finally:
        subprocess.run(["umount", str(small)], check=True)
