"""A backup of a bucket is killed where it reads and lists it: the stack serves, and the next backup is whole."""

from __future__ import annotations

from collections.abc import Iterator

import obstore
import pytest
from obstore.store import S3Store

from fakes.stack import FakeStack
from propolis_lab.servers.minio import S3Server

OBJECTS = {f"attachment/{number:02}": bytes([number]) * (1 + number * 4000) for number in range(24)}


def contents(store: S3Store) -> dict[str, bytes]:
    names = [item["path"] for item in obstore.list(store).collect()]
    return {name: bytes(obstore.get(store, name).bytes()) for name in names}


@pytest.fixture(scope="module")
def store(minio: S3Server) -> S3Store:
    minio.make_bucket("killed")
    return minio.store("killed")


@pytest.fixture(scope="module")
def bucket_stack(tmp_path_factory: pytest.TempPathFactory, minio: S3Server, store: S3Store) -> Iterator[FakeStack]:
    """A stack of fake services whose attachments lie in a real bucket; nothing of them is in a backup yet."""
    with FakeStack.up(tmp_path_factory.mktemp("bucket")) as stack:
        for name, key in (("access", minio.keys.access), ("secret", minio.keys.secret)):
            (stack.root / name).write_text(key)
            (stack.root / name).chmod(0o600)
        file = stack.propolis.config_file
        folder = f"{{kind: folder, folder: {stack.root}/files}}"
        keys = f"access_key: {{file: {stack.root}/access}}, secret_key: {{file: {stack.root}/secret}}"
        assert folder in file.read_text()
        bucket = f"{{kind: s3, bucket: killed, endpoint: {minio.endpoint}, region: us-east-1, {keys}}}"
        file.write_text(file.read_text().replace(folder, bucket))
        for name, content in OBJECTS.items():
            obstore.put(store, name, content)
        yield stack


@pytest.mark.parametrize(
    ("title", "moment"),
    [("store the bucket", "during:0.02"), ("store the bucket", "after"), ("list the bucket", "after")],
)
def test_a_backup_killed_there_costs_nothing_and_the_next_one_holds_all_objects(
    bucket_stack: FakeStack, store: S3Store, title: str, moment: str
) -> None:
    stack = bucket_stack
    step = stack.propolis.step("backup", title)
    obstore.put(store, "attachment/late", f"{title} {moment}".encode())
    before = contents(store)
    stack.propolis.killed(step, moment, "backup")
    stack.wait_until_recovered()
    stack.assert_serving()
    stack.assert_nothing_left()
    assert contents(store) == before
    stack.back_up()
    obstore.delete(store, list(before))
    stack.restore()
    assert contents(store) == before
    stack.assert_nothing_left()
