"""A live bucket, and live folders of all kinds, are compared with a backup as a backup would take them."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.command import stores
from propolis.compare import Comparison, compare_live
from propolis.config.fields import SecretRef
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import Config, S3Files
from propolis.repository import Facts, Identity, Location, Manifest, Repository, begin
from propolis.repository.browse.diff import Change, diff_backups
from propolis.s3.objects import ObjectMeta
from unit.repository.browse.test_diff import FOLDERS, Bucket, build
from unit.repository.repository_tools import Vault, fill


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    host, recovery = Identity.generate(), Identity.generate()
    location = Location(str(tmp_path / "vault"))
    opened = Repository.init(location, [recovery.recipient], host, segment_bytes=1 << 20)
    return Vault(tmp_path / "vault", host, recovery, opened, Repository.open(location, [recovery]))


def config_of(folder: Path, files: Path) -> Config:
    """A stack of which only the attachments are there."""
    text = sample().replace("/opt/thp/thehive/files", str(files))
    text = text.replace("# state: /var/lib/propolis", f"state: {folder}/state")
    assert str(files) in text
    (folder / "propolis.yaml").write_text(text)
    return load(folder / "propolis.yaml")


def compared(config: Config, repository: Repository, manifest: Manifest, **options: Any) -> tuple[Comparison, Any]:
    found = compare_live(config, repository, manifest.id, ("files",), **options)
    changes: list[Change] = [change for tree in found.trees for change in tree.changes]
    return found, changes


# -- a bucket ----------------------------------------------------------------------------------------------------


class Live(Bucket):
    """A bucket of which some can't be read."""

    gone: str = ""
    closed: str = ""

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        if key == self.gone:
            raise FileNotFoundError(key)
        if key == self.closed:
            raise PermissionError(13, "Permission denied")
        meta, chunks = super().open_object(key)
        return meta, (chunk[at : at + 1000] for chunk in chunks for at in range(0, len(chunk), 1000))


@pytest.fixture
def objects() -> dict[str, bytes]:
    chance = random.Random(1)
    return {key: chance.randbytes(size) for key, size in {"a/b": 10, "a-b": 1 << 20, "a": 2_500_000, "e": 0}.items()}


@pytest.fixture
def bucket_config(tmp_path: Path) -> Config:
    key = SecretRef(env="A")
    bucket = S3Files(bucket="b", prefix="hive", endpoint=None, access_key=key, secret_key=key)
    return config_of(tmp_path, tmp_path / "files").model_copy(update={"files": bucket})


def taken(vault: Vault, bucket: Bucket) -> Manifest:
    with begin(vault.host, "thehive", parent=None) as writer:
        writer.add_bucket("files", "files/bucket", bucket, "s3://b/hive")
        return vault.host.manifest(writer.commit(Facts()).id)


def told(changes: list[Change]) -> dict[bytes, tuple[str, tuple[str, ...]]]:
    return {change.path: (change.kind, change.what) for change in changes}


@pytest.mark.parametrize("order", [1, -1])
def test_a_live_bucket_is_compared_by_what_its_list_tells(
    vault: Vault, bucket_config: Config, objects: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    manifest = taken(vault, Bucket(objects))
    live = Live(objects | {"a/b": b"0123456789", "new": b"new"}, order)
    del live.objects["e"]
    monkeypatch.setattr(stores, "open_bucket", lambda _: live)
    found, changes = compared(bucket_config, vault.host, manifest)
    assert told(changes) == {b"a/b": ("changed", ("etag",)), b"e": ("removed", ()), b"new": ("added", ())}
    live.objects["a/b"] = b"longer than it was"
    assert told(compared(bucket_config, vault.host, manifest)[1])[b"a/b"] == ("changed", ("content",))
    assert found.unread == []


def test_the_content_of_a_live_bucket_is_read_if_asked_for(
    vault: Vault, bucket_config: Config, objects: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = taken(vault, Bucket(objects))
    live = Live(dict(objects))
    real = live.meta
    # Another etag says nothing where the bytes are compared.
    monkeypatch.setattr(live, "meta", lambda key: msgspec.structs.replace(real(key), etag='"x"'))
    monkeypatch.setattr(stores, "open_bucket", lambda _: live)
    assert set(told(compared(bucket_config, vault.host, manifest)[1])) == set(map(str.encode, objects))
    assert told(compared(bucket_config, vault.host, manifest, content=True)[1]) == {}
    for key in ("a/b", "a-b", "a"):
        for at in (0, len(objects[key]) - 1):
            data = bytearray(objects[key])
            data[at] ^= 1
            live.objects[key] = bytes(data)
            changes = told(compared(bucket_config, vault.host, manifest, content=True)[1])
            assert changes[key.encode()] == ("changed", ("content",))
        live.objects[key] = objects[key]
    live.metadata = {"x": "y"}
    changes = told(compared(bucket_config, vault.host, manifest, content=True)[1])
    assert changes[b"a"] == ("changed", ("attributes",))


def test_an_object_that_goes_meanwhile_is_removed_and_one_that_can_not_be_read_is_named(
    vault: Vault, bucket_config: Config, objects: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = taken(vault, Bucket(objects))
    live = Live(objects)
    live.gone, live.closed = "a", "a-b"
    monkeypatch.setattr(stores, "open_bucket", lambda _: live)
    found, changes = compared(bucket_config, vault.host, manifest, content=True)
    assert told(changes) == {b"a": ("removed", ())}
    assert found.unread == ["files/bucket/a-b (Permission denied)"]


# -- folders -----------------------------------------------------------------------------------------------------

HOST, RECOVERY = Identity.generate(), Identity.generate()


@given(before=FOLDERS, after=FOLDERS, content=st.booleans())
@settings(max_examples=60)
def test_a_live_folder_differs_as_its_backup_would(before: Any, after: Any, content: bool) -> None:
    """From a backup to what is there now, and from that backup to a backup of what is there now."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = Repository.init(Location(f"{name}/vault"), [RECOVERY.recipient], HOST, segment_bytes=256 << 10)
        manifests = []
        for number, what in enumerate((before, after)):
            build(os.fsencode(folder / str(number)), what)
            os.utime(folder / str(number), ns=(0, 10**18))
            with begin(repository, "thehive", parent=None, workers=1) as writer:
                writer.add_folder("files", "files/folder", folder / str(number), Path("/original"))
                manifests.append(repository.manifest(writer.commit(Facts()).id))
        config = config_of(folder, folder / "1")
        _, live = compared(config, repository, manifests[0], content=content)
        [tree] = diff_backups(manifests[0], manifests[1])
        expected = list(tree.changes)
        if not content:  # of the same size and time, another content isn't seen
            expected = [change for change in expected if change.what != ("content",) or change.before != change.after]
            expected = [
                msgspec.structs.replace(change, what=tuple(what for what in change.what if what != "content"))
                if change.kind == "changed" and change.before == change.after
                else change
                for change in expected
            ]
        assert live == expected


def test_every_byte_and_hole_of_a_file_is_compared(vault: Vault, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    with (source / "holes").open("wb") as file:
        file.write(b"begin")
        file.truncate(2 << 20)
        file.seek(5 << 20)
        file.write(b"end")
        file.truncate(7 << 20)
    with begin(vault.host, "thehive") as writer:
        writer.add_folder("files", "files/folder", source, Path("/original"))
        manifest = vault.host.manifest(writer.commit(Facts()).id)
    config = config_of(tmp_path, source)
    assert compared(config, vault.host, manifest, content=True)[1] == []
    for path, at in [
        ("holes", 0),
        ("holes", 1 << 20),
        ("holes", (5 << 20) + 2),
        ("holes", (7 << 20) - 1),
        ("deep/large", (3 << 20) + 76),
        ("text", 100),
        ("deep/exact", 0),
    ]:
        status = (source / path).stat()
        data = (source / path).read_bytes()
        with (source / path).open("r+b") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ 1]))
        os.utime(source / path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert compared(config, vault.host, manifest)[1] == []
        changes = compared(config, vault.host, manifest, content=True)[1]
        assert told(changes) == {path.encode(): ("changed", ("content",))}, (path, at)
        with (source / path).open("r+b") as file:
            file.write(data)
        os.utime(source / path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # Holes that were filled with zeros are the same bytes.
    status = (source / "holes").stat()
    data = (source / "holes").read_bytes()
    (source / "holes").write_bytes(data)
    os.utime(source / "holes", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert compared(config, vault.host, manifest, content=True)[1] == []


def test_content_that_no_index_knows_is_named_and_the_rest_compared(vault: Vault, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    with begin(vault.host, "thehive") as writer:
        writer.add_folder("files", "files/folder", source, Path("/original"))
        manifest = vault.host.manifest(writer.commit(Facts()).id)
    for index in vault.objects("indexes"):
        index.unlink()
    (source / "nothing").unlink()
    found, changes = compared(config_of(tmp_path, source), vault.host, manifest, content=True)
    assert [change.path for change in changes] == [b"nothing"]
    assert "no index knows its segment" in found.unread[0]
    assert len(found.unread) == 20  # and others
