"""A difference of two states is exactly what a comparison of all their entries finds, in any order and size."""
# ruff: noqa: PTH101, PTH102, PTH123, PTH211

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.errors import IntegrityError, PropolisError
from propolis.repository import Entry, Facts, Identity, Manifest, Repository, begin
from propolis.repository.browse.diff import Change, TreeDiff, diff_backups
from propolis.repository.format.entries import Header, TreeHeader
from propolis.s3.objects import ObjectMeta
from unit.repository.format.test_hostile import KEYS, Evil, entry
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import TREE, Vault

HOST, RECOVERY = Identity.generate(), Identity.generate()
EMPTY = MemoryStorage()
Repository.create(EMPTY, [RECOVERY.recipient], HOST, segment_bytes=256 << 10)

Known = dict[bytes, Entry]


def differences(
    before: Manifest, after: Manifest, stores: tuple[str, ...] = ()
) -> list[tuple[TreeDiff, list[Change]]]:
    return [(tree, list(tree.changes)) for tree in diff_backups(before, after, stores)]


def kinds(before: Manifest, after: Manifest) -> dict[bytes, tuple[str, tuple[str, ...]]]:
    return {
        change.path: (change.kind, change.what) for _, changes in differences(before, after) for change in changes
    }


# -- any two folders ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from([b"a", b"b", b"a-b", b"a b", b"a\nb", b"\xff", b"c", b"d"])
FILES = st.tuples(st.just("file"), st.sampled_from([b"", b"one", b"two!", b"three"]), st.sampled_from([0o600, 0o640]))
LINKS = st.tuples(st.just("link"), st.sampled_from([b"x", b"../y"]), st.just(0))
FOLDERS: Any = st.recursive(
    st.dictionaries(NAMES, FILES | LINKS, max_size=4),
    lambda inner: st.dictionaries(NAMES, FILES | LINKS | inner, max_size=4),
    max_leaves=10,
)


def build(folder: bytes, what: dict[bytes, Any]) -> None:
    os.mkdir(folder)
    for name, item in what.items():
        path = folder + b"/" + name
        if isinstance(item, dict):
            build(path, item)
        elif item[0] == "link":
            os.symlink(item[1], path)
        else:
            with open(path, "wb") as file:
                file.write(item[1])
            os.chmod(path, item[2])
        os.utime(path, ns=(0, 10**18), follow_symlinks=False)


def taken(repository: Repository, folder: Path) -> Manifest:
    with begin(repository, "hive", parent=None, workers=1) as writer:
        writer.add_folder("files", TREE, folder, Path("/original"))
        summary = writer.commit(Facts())
    return repository.manifest(summary.id)


def brute_force(one: Known, other: Known) -> tuple[dict[bytes, Any], dict[str, int]]:
    """By dictionaries of all entries: what differs, and the numbers."""
    found: dict[bytes, Any] = {}
    for path in one.keys() | other.keys():
        before, after = one.get(path), other.get(path)
        if before is None or after is None:
            present = before or after
            assert present is not None
            found[path] = ("added" if before is None else "removed", present.type, set())
            continue
        if before.type != after.type:
            found[path] = ("changed", after.type, {"type"})
            continue
        what = set()
        if (before.size, before.segments) != (after.size, after.segments):
            what.add("content")
        if before.type == "l" and before.extra != after.extra:
            what.add("target")
        if before.mode != after.mode and before.type != "l":
            what.add("mode")
        if what:
            found[path] = ("changed", after.type, what)
    counts = {
        "added": sum(kind == "added" for kind, *_ in found.values()),
        "removed": sum(kind == "removed" for kind, *_ in found.values()),
        "changed": sum(kind == "changed" for kind, *_ in found.values()),
        "unchanged": len(one.keys() & other.keys()) - sum(kind == "changed" for kind, *_ in found.values()),
        "added_bytes": sum(other[path].size for path in found if path not in one),
        "removed_bytes": sum(one[path].size for path in found if path not in other),
        "changed_before": sum(one[path].size for path in found if path in one and path in other),
        "changed_after": sum(other[path].size for path in found if path in one and path in other),
    }
    return found, counts


@given(before=FOLDERS, after=FOLDERS)
@settings(max_examples=120)
def test_a_difference_is_what_a_comparison_of_all_entries_finds(before: Any, after: Any) -> None:
    repository = Repository(MemoryStorage(EMPTY.objects), [HOST])
    with tempfile.TemporaryDirectory() as name:
        manifests: list[Manifest] = []
        for number, what in enumerate((before, after)):
            folder = Path(name, str(number))
            build(os.fsencode(folder), what)
            os.utime(folder, ns=(0, 10**18))
            manifests.append(taken(repository, folder))
    one, other = ({entry.path: entry for entry in manifest.entries()} for manifest in manifests)
    [(tree, changes)] = differences(manifests[0], manifests[1])
    expected, counts = brute_force(one, other)
    assert {change.path: (change.kind, change.type, set(change.what)) for change in changes} == expected
    total = dataclasses.asdict(tree.total)
    assert {name: total[name] for name in counts} == counts
    assert [change.path.replace(b"/", b"\0") for change in changes if change.path != b"."] == sorted(
        change.path.replace(b"/", b"\0") for change in changes if change.path != b"."
    )
    # The other way round, what was added was removed.
    [(_, back)] = differences(manifests[1], manifests[0])
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {change.path: change.kind for change in back} == {change.path: turned[change.kind] for change in changes}


# -- what changed of a file --------------------------------------------------------------------------------------


def test_what_of_a_file_changed_is_said(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    for name in ("same", "content", "longer", "mode", "time", "attribute", "becomes a folder", "first"):
        (folder / name).write_bytes(name.encode())
        os.utime(folder / name, ns=(0, 10**18))
    os.link(folder / "first", folder / "name of first")
    os.link(folder / "first", folder / "own file later")
    (folder / "link").symlink_to("one")
    before = vault.host.manifest(vault.backup(folder).id)
    (folder / "content").write_bytes(b"CONTENT")
    (folder / "longer").write_bytes(b"a longer one")
    for name in ("content", "longer"):
        os.utime(folder / name, ns=(0, 10**18))
    (folder / "mode").chmod(0o604)
    os.utime(folder / "time", ns=(0, 10**18 + 1))
    os.setxattr(folder / "attribute", "user.note", b"x")
    (folder / "becomes a folder").unlink()
    (folder / "becomes a folder").mkdir()
    (folder / "link").unlink()
    (folder / "link").symlink_to("two")
    (folder / "own file later").unlink()
    (folder / "own file later").write_bytes(b"first")
    os.utime(folder / "sub", ns=(0, 5))
    after = vault.host.manifest(vault.backup(folder, parent=None).id)
    found = kinds(before, after)
    assert found.pop(b"link")[1][0] == "target"
    assert found == {
        b"content": ("changed", ("content",)),
        b"longer": ("changed", ("content",)),
        b"mode": ("changed", ("mode",)),
        b"time": ("changed", ("time",)),
        b"attribute": ("changed", ("attributes",)),
        b"becomes a folder": ("changed", ("type",)),
        b"own file later": ("changed", ("type",)),
    }


def test_another_owner_is_a_change(vault: Vault, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    before = vault.host.manifest(vault.backup(folder).id)
    os.chown(folder / "file", 12345, 12345)
    after = vault.host.manifest(vault.backup(folder).id)
    assert kinds(before, after) == {b"file": ("changed", ("owner",))}


# -- trees and stores --------------------------------------------------------------------------------------------


class Bucket:
    """Objects, listed in any order."""

    def __init__(self, objects: dict[str, bytes], order: int = 1, metadata: dict[str, str] | None = None) -> None:
        self.objects, self.order, self.metadata = objects, order, metadata or {}

    def meta(self, key: str) -> ObjectMeta:
        data = self.objects[key]
        return ObjectMeta(key, len(data), f'"{hash(data)}"', 10**18)

    def list(self) -> Iterator[ObjectMeta]:
        return map(self.meta, sorted(self.objects)[:: self.order])

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        meta = msgspec.structs.replace(self.meta(key), content_type="text/plain", metadata=self.metadata)
        return meta, iter([self.objects[key]])


def bucket_backup(vault: Vault, bucket: Bucket, *more: str) -> Manifest:
    with begin(vault.host, "hive", parent=None) as writer:
        for name in more:
            writer.add_bucket("config", name, Bucket({"x": b"x"}), "s3://other")
        writer.add_bucket("files", "files/bucket", bucket, "s3://bucket")
        return vault.host.manifest(writer.commit(Facts()).id)


@pytest.mark.parametrize("orders", [(1, 1), (1, -1), (-1, -1)])
def test_objects_of_a_bucket_are_compared_in_whatever_order_they_were_listed(
    vault: Vault, orders: tuple[int, int]
) -> None:
    objects = {key: key.encode() for key in ("a/b", "a-b", "a", "b", "é", "z")}
    before = bucket_backup(vault, Bucket(objects, orders[0]))
    changed = objects | {"a/b": b"other", "new": b"new"}
    del changed["z"]
    after = bucket_backup(vault, Bucket(changed, orders[1]), "config/other")
    assert kinds(before, after) == {
        b"a/b": ("changed", ("content",)),
        b"new": ("added", ()),
        b"z": ("removed", ()),
        b"x": ("added", ()),
    }


def test_metadata_of_an_object_are_attributes(vault: Vault) -> None:
    before = bucket_backup(vault, Bucket({"a": b"a"}))
    after = bucket_backup(vault, Bucket({"a": b"a"}, metadata={"x": "y"}))
    assert kinds(before, after) == {b"a": ("changed", ("attributes",))}


def test_trees_come_in_the_order_of_the_later_backup_whatever_that_of_the_earlier(
    vault: Vault, tmp_path: Path
) -> None:
    folders = {}
    for name in ("one", "two", "three"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        (folders[name] / "file").write_bytes(name.encode())
    found = []
    for names in (("one", "two", "three"), ("three", "one")):
        with begin(vault.host, "hive") as writer:
            for name in names:
                writer.add_folder("database" if name == "one" else "files", f"x/{name}", folders[name], Path("/o"))
            found.append(vault.host.manifest(writer.commit(Facts()).id))
        (folders["three"] / "more").write_bytes(b"m" * 10)
    told = [(tree.name, [change.path for change in changes]) for tree, changes in differences(found[0], found[1])]
    assert told == [("x/three", [b"more"]), ("x/one", []), ("x/two", [b".", b"file"])]
    assert [tree.name for tree, _ in differences(found[0], found[1], ("database",))] == ["x/one"]


# -- what can't be trusted, and what is large --------------------------------------------------------------------


@pytest.fixture
def evil() -> Evil:
    storage = MemoryStorage(KEYS.storage.objects)
    return Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)


@pytest.mark.parametrize(
    "entries",
    [
        [entry("d", b"."), entry("d", b"b"), entry("d", b"a")],
        [entry("d", b"."), entry("d", b"a"), entry("d", b"a")],
        [entry("d", b"."), msgspec.structs.replace(entry("d", b"a"), tree="files/other")],
    ],
)
def test_a_manifest_out_of_order_is_refused_not_compared(evil: Evil, entries: list[Entry]) -> None:
    evil.manifest(entries)
    [(id, _)] = evil.repository.names()
    manifest = evil.repository.manifest(id)
    with pytest.raises(IntegrityError, match=r"out of order|not have the entries"):
        differences(manifest, manifest)


@given(lines=st.lists(st.lists(st.binary(max_size=9), max_size=16), max_size=6))
def test_no_line_makes_a_difference_stumble(lines: list[list[bytes]]) -> None:
    storage = MemoryStorage(KEYS.storage.objects)
    evil = Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)
    plain = [b"\t".join(line).replace(b"\n", b"") for line in lines]
    tree = TreeHeader(TREE, "files", "folder", "/original", len(plain), 0, 0)
    evil.manifest([entry("d", b".")], tree)
    [(_, name)] = evil.repository.names()
    del evil.storage.objects[name]
    ended = "2026-01-01T00:00:00Z"
    header = Header(1, "hive", "cold", "host", ended, ended, "0", None, {}, [tree])
    evil.lines("manifest", msgspec.json.encode(header), plain)
    [(id, _)] = evil.repository.names()
    try:
        manifest = evil.repository.manifest(id)
        differences(manifest, manifest)
    except PropolisError:
        return


def test_two_large_backups_are_compared_in_little_memory(evil: Evil) -> None:
    manifests = []
    for step in (1, 2):
        entries = [entry("d", b".")] + [entry("f", b"%06d" % number, mode=0o640) for number in range(0, 40_000, step)]
        for name in [name for name in evil.storage.objects if name.startswith("manifests/")]:
            del evil.storage.objects[name]
        evil.manifest(entries)
        [(id, _)] = evil.repository.names()
        manifests.append(evil.repository.manifest(id))
    tracemalloc.start()
    try:
        [tree] = diff_backups(manifests[0], manifests[1])
        assert sum(1 for _ in tree.changes) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20  # 60,000 lists of fields take more than 50 MB


def test_a_difference_leaves_nothing_behind(vault: Vault, source: Path) -> None:
    first, second = vault.backup(source), vault.backup(source)
    before = sorted(path for path in vault.folder.rglob("*"))
    assert kinds(vault.host.manifest(first.id), vault.host.manifest(second.id)) == {}
    assert sorted(path for path in vault.folder.rglob("*")) == before
    shutil.rmtree(source)
