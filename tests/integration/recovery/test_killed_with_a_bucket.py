"""A backup of a bucket is killed where it reads and lists it: the stack serves, and the next backup is whole."""

from __future__ import annotations

from collections.abc import Iterator

import obstore
import pytest
from obstore.store import S3Store

from fakes.bucket import contents, use_bucket
from fakes.stack import FakeStack
from propolis_lab.servers.minio import S3Server

OBJECTS = {f"attachment/{number:02}": bytes([number]) * (1 + number * 4000) for number in range(24)}


@pytest.fixture(scope="module")
def store(minio: S3Server) -> S3Store:
    minio.make_bucket("killed")
    return minio.store("killed")


@pytest.fixture(scope="module")
def bucket_stack(tmp_path_factory: pytest.TempPathFactory, minio: S3Server, store: S3Store) -> Iterator[FakeStack]:
    """A stack of fake services whose attachments lie in a real bucket; nothing of them is in a backup yet."""
    with FakeStack.up(tmp_path_factory.mktemp("bucket")) as stack:
        use_bucket(stack, minio, "killed")
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
