"""What a restore keeps where a folder is a mount of its own, and in a bucket, comes back like any other."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.stack import FakeStack
from propolis.checks import checks
from propolis.command.kept import records
from propolis.command.stores import bucket_of
from propolis.run.journals import open_runs
from propolis.s3.objects import ObjectMeta
from propolis_lab.servers.minio import S3Server


@pytest.fixture
def on_mounts(fake_stack: FakeStack, tmp_path: Path) -> Iterator[FakeStack]:
    """A stack whose data folders of the database and the files are filesystems of their own."""
    stack = fake_stack
    stack.stop()
    mounted = [stack.root / name for name in ("cassandra/data", "files")]
    for number, folder in enumerate(mounted):
        shutil.copytree(folder, tmp_path / str(number))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=0750", "none", str(folder)], check=True)
        shutil.copytree(tmp_path / str(number), folder, dirs_exist_ok=True)
    stack.start()
    stack.back_up()
    yield stack
    stack.wait_until_recovered()
    stack.propolis.ok("clean", "--all")
    stack.stop()
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)
    stack.start()


def test_what_lies_in_the_folder_itself_is_kept_apart_from_it(on_mounts: FakeStack) -> None:
    stack = on_mounts
    backed_up = stack.own_content()
    stack.change()
    newer = stack.own_content()
    stack.propolis.ok("restore", "latest", "-i", stack.key, "--keep-old", "2")
    (run,) = [one.run for one in records(stack.root / "state").kept]
    inside = stack.root / f"files/.propolis-aside-{run}"
    assert inside.is_dir()
    assert stack.own_content() == backed_up
    found = {check.name: check for check in checks(stack.config) if check.result != "ok"}
    assert "leftovers" not in found
    assert "files/folder" not in found
    stack.propolis.ok("restore", "latest", "-i", stack.key, "--keep-old", "2")
    assert inside.is_dir(), "another restore leaves it where it is"
    summary = stack.back_up()
    shown = stack.propolis.ok("show", summary.summary.id, "--json").out
    assert ".propolis-" not in re.sub(r'"clone".*', "", shown)
    stack.propolis.ok("restore", "--undo", run)
    assert stack.own_content() == newer
    assert stack.propolis.ok("diff", summary.summary.id).out.count(".propolis-") == 0
    stack.propolis.ok("clean", "--all")
    assert list(stack.root.rglob(".propolis-*")) == []


@pytest.mark.parametrize("title", ["move", "accept"])
def test_killed_there_it_is_put_right_too(on_mounts: FakeStack, title: str) -> None:
    stack = on_mounts
    stack.change()
    newer = stack.own_content()
    stack.propolis.ok("restore", "latest", "-i", stack.key, "--keep-old", "2")
    restored = stack.own_content()
    stack.propolis.killed(stack.propolis.step("restore", title, "--undo"), "after", "restore", "--undo")
    stack.wait_until_recovered()
    stack.assert_serving()
    if stack.own_content() == restored:
        stack.propolis.ok("restore", "--undo")
    assert stack.own_content() == newer


class Bucket:
    """The attachments' objects, without what is kept."""

    def __init__(self, stack: FakeStack) -> None:
        self._bucket = bucket_of(stack.config, "files/bucket")

    def put(self, key: str, text: str) -> None:
        self._bucket.put(ObjectMeta(key, len(text), content_type="text/plain"), [text.encode()])

    def delete(self, key: str) -> None:
        self._bucket.delete(key)

    def all(self) -> dict[str, str]:
        keys = [meta.key for meta in self._bucket.list()]
        return {key: b"".join(bytes(part) for part in self._bucket.open_object(key)[1]).decode() for key in keys}

    def own(self) -> dict[str, str]:
        return {key: text for key, text in self.all().items() if not key.startswith(".propolis-")}


@pytest.fixture
def in_a_bucket(fake_stack: FakeStack, minio: S3Server, new_bucket: str) -> Iterator[tuple[FakeStack, Bucket]]:
    """A stack that keeps its attachments in a bucket, with a backup and newer objects than its."""
    stack = fake_stack
    file = stack.propolis.config_file
    text = file.read_text()
    keys = {"access": minio.keys.access, "secret": minio.keys.secret}
    for name, secret in keys.items():
        (stack.root / name).write_text(secret)
        (stack.root / name).chmod(0o600)
    section = (
        f"files: {{kind: s3, endpoint: {minio.endpoint}, bucket: {new_bucket}, prefix: hive, "
        f"access_key: {{file: {stack.root}/access}}, secret_key: {{file: {stack.root}/secret}}}}"
    )
    file.write_text(re.sub(r"files: .*", section, text))
    bucket = Bucket(stack)
    for key in ("a", "b", "c"):
        bucket.put(f"attachment/{key}", f"{key} backed up")
    stack.back_up()
    bucket.put("attachment/b", "b since")
    bucket.delete("attachment/c")
    bucket.put("attachment/new", "new since")
    try:
        yield stack, bucket
        stack.wait_until_recovered()
        stack.propolis.ok("clean", "--all")
        assert bucket.all() == bucket.own()
        assert not list((stack.root / "state").glob("bucket-*"))
    finally:
        file.write_text(text)


def test_objects_that_a_restore_replaced_and_added_are_taken_back(in_a_bucket: tuple[FakeStack, Bucket]) -> None:
    stack, bucket = in_a_bucket
    newer = bucket.own()
    stack.propolis.ok("restore", "latest", "-i", stack.key, "--keep-old")
    restored = bucket.own()
    assert restored == {f"attachment/{key}": f"{key} backed up" for key in "abc"} | {"attachment/new": "new since"}
    report = stack.back_up()
    (tree,) = [tree for tree in report.summary.header.trees if tree.name == "files/bucket"]
    assert tree.files == len(restored), "what is kept is not backed up"
    assert ".propolis-" not in stack.propolis.ok("diff", report.summary.id).out
    (check,) = [check for check in checks(stack.config) if check.name == "files/bucket"]
    assert check.result == "ok", check
    stack.propolis.ok("restore", "--undo")
    assert bucket.own() == newer
    stack.propolis.ok("restore", "--undo")
    assert bucket.own() == restored


STEPS = ("move", "put ", "accept", "keep")


@pytest.mark.parametrize("title", STEPS)
def test_an_undo_killed_after_a_step_leaves_bucket_and_folders_of_one_time(
    in_a_bucket: tuple[FakeStack, Bucket], title: str
) -> None:
    stack, bucket = in_a_bucket
    stack.change()
    newer = stack.own_content(), bucket.own()
    stack.propolis.ok("restore", "latest", "-i", stack.key, "--keep-old")
    restored = stack.own_content(), bucket.own()
    stack.propolis.killed(stack.propolis.step("restore", title, "--undo"), "after", "restore", "--undo")
    stack.wait_until_recovered()
    stack.assert_serving()
    assert (stack.own_content(), bucket.own()) in (newer, restored)
    if (stack.own_content(), bucket.own()) == restored:
        stack.propolis.ok("restore", "--undo")
    assert (stack.own_content(), bucket.own()) == newer


def test_former_objects_that_somebody_removed_are_missed_before_anything_stops(
    in_a_bucket: tuple[FakeStack, Bucket],
) -> None:
    stack, bucket = in_a_bucket
    stack.propolis.ok("restore", "latest", "-i", stack.key, "--keep-old")
    (aside,) = [key for key in bucket.all() if key.startswith(".propolis-")]
    bucket.delete(aside)
    before = stack.own_content(), bucket.own()
    told = stack.propolis.run("restore", "--undo").one_clear_error(12)
    assert "1 former objects are gone" in told
    assert (stack.own_content(), bucket.own()) == before
    assert open_runs(stack.journals).states == ()
