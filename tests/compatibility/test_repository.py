"""A repository that an earlier version wrote is listed, checked, restored, written on and pruned by this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from compatibility.bucket import Bucket
from compatibility.picture import picture
from compatibility.sets import HOST_KEY, KNOWN, RECOVERY_KEY, Set, digests, fill, lacks, sets
from fakes.stack import FakeStack
from propolis.repository import Location, Repository, read_identities, restore_bucket, restore_folder, verify
from propolis.stack.asking import retry

KEEP_ONE = "retention: {keep: {last: 1}, min_verified: 0, grace_hours: 0}\n"


@pytest.fixture(scope="module", params=sets(), ids=lambda made: made.version)
def made(request: pytest.FixtureRequest) -> Set:
    found: Set = request.param
    return found


@contextmanager
def host_of(made: Set, folder: Path) -> Iterator[FakeStack]:
    """A stack that has that version's repository, its keys, and what that version's host knew of it."""

    def bring(stack: FakeStack) -> None:
        made.unpack("repository.tar.xz", stack.repository)
        made.lay_key(RECOVERY_KEY, stack.key)
        made.lay_key(HOST_KEY, stack.root / "state/host.key")
        (stack.root / "state" / KNOWN).write_text(fill((made.folder / KNOWN).read_text(), FOLDER=folder))

    with pytest.MonkeyPatch.context() as patch, FakeStack.up(folder, bring) as stack:
        patch.setattr(retry, "_PAUSE", 0.02)  # fake services answer at once
        yield stack


@pytest.fixture(scope="module")
def stack(made: Set, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStack]:
    """One to read."""
    with host_of(made, tmp_path_factory.mktemp("read")) as stack:
        yield stack


@pytest.fixture
def own_stack(made: Set, tmp_path: Path) -> Iterator[FakeStack]:
    """One to write."""
    with host_of(made, tmp_path) as stack:
        yield stack


@pytest.fixture(scope="module")
def told(made: Set) -> Any:
    """What that version said of its repository, and restored from it."""
    return made.read("repository.json")


def opened(stack: FakeStack) -> Repository:
    return Repository.open(Location(str(stack.repository)), read_identities(stack.key))


def test_the_list_is_the_same(stack: FakeStack, told: Any) -> None:
    now = stack.propolis.ok("list", "--json").json
    assert len(now) == len(told["list"]) >= 5
    assert lacks(now, told["list"]) == []
    assert any(backup["holds"] for backup in now)
    assert any(backup["verification"] for backup in now)
    assert any(backup["header"]["parent"] for backup in now)


def test_what_is_shown_of_each_backup_is_the_same(stack: FakeStack, told: Any) -> None:
    for id, then in told["show"].items():
        assert lacks(stack.propolis.ok("show", id, "--json").json, then) == []


def test_the_check_reads_all_data_and_finds_nothing(stack: FakeStack) -> None:
    found = stack.propolis.ok("repository", "check", "--read-data", "--identity", stack.key, "--json").json
    assert found["findings"] == []
    assert stack.propolis.ok("repository", "check").code == 0


def verify_all(stack: FakeStack) -> list[str]:
    """Verify every backup by all there is, and give their IDs."""
    repository = opened(stack)
    ids = [id for id, _ in repository.names()]
    assert [finding for id in ids for finding in verify(repository, id, "full").findings] == []
    return [str(id) for id in ids]


def test_every_backup_passes_a_full_verification(stack: FakeStack, told: Any) -> None:
    assert verify_all(stack) == list(told["show"])
    level = ("--level", "full", "--no-record")
    assert stack.propolis.ok("verify", *level, "--identity", stack.key, "--json").json["findings"] == []
    assert stack.propolis.ok("verify", *level).code == 0


def test_every_tree_of_every_backup_is_restored_byte_for_byte(stack: FakeStack, told: Any, tmp_path: Path) -> None:
    repository = opened(stack)
    for id, trees in told["restored"].items():
        manifest = repository.manifest(repository.resolve(id))
        assert [tree.name for tree in manifest.header.trees] == list(trees)
        for tree in manifest.header.trees:
            if tree.kind == "bucket":
                bucket = Bucket()
                restore_bucket(repository, manifest, tree.name, bucket)
                assert bucket.picture() == trees[tree.name]
                continue
            target = tmp_path / id / tree.name
            target.parent.mkdir(parents=True, exist_ok=True)
            restore_folder(repository, manifest, tree.name, target)
            assert lacks(trees[tree.name], picture(target)) == []
            assert trees[tree.name].keys() == picture(target).keys()


def test_the_keys_are_the_same(stack: FakeStack) -> None:
    keys = stack.propolis.ok("repository", "key", "list", "--json").out
    assert '"recovery"' in keys
    assert '"second"' in keys


def test_the_stack_is_restored_from_it_and_backed_up_into_it(own_stack: FakeStack, told: Any) -> None:
    stack = own_stack
    stack.restore()
    stack.assert_serving()
    now, then = digests(stack.content()), told["content"]
    for content in (now, then):
        # Configuration is of another host, so laid beside; a link may lead to a file of this one.
        for path in [path for path in content if path.startswith("etc/") or (stack.root / path).is_symlink()]:
            del content[path]
    assert now == then
    newest = [backup["id"] for backup in told["list"] if backup["header"]["stack"] == "fake"][-1]
    packs = set((stack.repository / "packs").rglob("*"))
    report = stack.back_up()
    assert report.summary.header.parent == newest
    assert sum(path.stat().st_size for path in set((stack.repository / "packs").rglob("*")) - packs) < 20_000
    assert verify_all(stack) == [*told["show"], report.summary.id]


def test_it_is_pruned_and_what_is_held_stays(own_stack: FakeStack, told: Any) -> None:
    stack = own_stack
    stack.back_up()
    with stack.propolis.config_file.open("a") as file:
        file.write(KEEP_ONE)
    stack.propolis.ok("repository", "prune", "--identity", stack.key)
    left = verify_all(stack)
    held = [backup["id"] for backup in told["list"] if backup["holds"]]
    assert held
    assert set(held) <= set(left)
    assert told["show"].keys() - set(left)
    assert stack.propolis.ok("repository", "check", "--read-data", "-i", stack.key, "--json").json["findings"] == []
