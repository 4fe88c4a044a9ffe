"""Damage of any kind is found, and a hostile repository can't reach outside of the target."""

import errno
import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from propolis.errors import IntegrityError, PropolisError, RepositoryError
from propolis.repository import BackupSummary, Entry, Finding, Repository, verify
from propolis.repository.format.entries import EntryType, format_entry
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.names import hash_name
from propolis.repository.format.rules import safe_parts
from propolis.repository.format.text import TextWriter
from propolis.repository.model import Stats
from propolis.repository.read import target
from unit.repository.repository_tools import TREE, Vault, snapshot

KINDS = ["config", "keys", "indexes", "manifests", "packs"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, random.randrange(path.stat().st_size))


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def delete(path: Path) -> None:
    path.unlink()


def swap(path: Path) -> None:
    """Another whole object of the same repository takes its place."""
    others = [
        p for p in (path.parents[1] if path.parent.name else path.parent).rglob("*") if p.is_file() and p != path
    ]
    shutil.copy(random.choice(others), path)


def objects(vault: Vault, kind: Any) -> Any:
    return [vault.folder / "config"] if kind == "config" else vault.objects(kind)


def checked(vault: Vault, id: Any) -> bool:
    """Whether a full verification by somebody with the recovery key calls the backup whole."""
    try:
        repository = Repository.open(vault.location, [vault.recovery_key])
        return verify(repository, repository.resolve(id), "full").ok
    except PropolisError:
        return False


@pytest.mark.parametrize("change", [flip, cut, lengthen, delete, swap])
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_object_is_found_by_verification(vault: Vault, source: Path, kind: Any, change: Any) -> None:
    summary = vault.backup(source)
    assert checked(vault, summary.id)
    for spare in vault.objects("spare"):
        spare.unlink()  # it would stand in for a damaged key ring
    for path in objects(vault, kind):
        original = path.read_bytes()
        change(path)
        assert not checked(vault, summary.id), path
        path.write_bytes(original)
    assert checked(vault, summary.id)


@pytest.mark.parametrize("change", [flip, cut, delete])
def test_a_damaged_pack_is_not_restored_and_its_files_are_named(
    vault: Vault, source: Path, tmp_path: Path, change: Any
) -> None:
    summary = vault.backup(source)
    largest = max(vault.objects("packs"), key=lambda path: path.stat().st_size)
    change(largest)
    result = verify(vault.full, summary.id, "full")
    assert len(result.findings) == 1
    assert largest.name in result.findings[0].object
    assert result.findings[0].entries_hit == 1
    assert result.findings[0].entries[0] in (f"{TREE}/deep/large", f"{TREE}/deep/exact")
    with pytest.raises(IntegrityError, match=largest.name):
        vault.restore(summary, tmp_path / "out")


def test_a_swapped_pack_is_found_without_the_recovery_key(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    first, second = [path for path in vault.objects("packs") if path.stat().st_size > 1 << 20][:2]
    shutil.copy(first, second)
    assert verify(vault.host, summary.id, "manifest").ok
    result = verify(vault.host, summary.id, "full")
    assert [second.name in finding.object for finding in result.findings] == [True]
    assert not result.decrypted


def test_missing_and_short_packs_are_found_at_the_first_level(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    first, second, *_ = vault.objects("packs")
    first.unlink()
    cut(second)
    result = verify(vault.host, summary.id, "manifest")
    assert not result.ok
    assert {finding.object[-64:] for finding in result.findings} == {first.name, second.name}


def test_a_missing_index_is_found_at_the_first_level(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    for path in vault.objects("indexes"):
        path.unlink()
    result = verify(vault.host, summary.id, "manifest")
    assert not result.ok
    assert "no index knows" in result.findings[0].what


def test_a_damaged_manifest_does_not_hide_the_others_from_a_list_that_can_tell(vault: Vault, source: Path) -> None:
    first, second = vault.backup(source), vault.backup(source)
    path = vault.objects("manifests")[1]
    path.write_bytes(b"nonsense")
    with pytest.raises(IntegrityError, match="not an encrypted object"):
        vault.host.backups()
    damaged: list[Finding] = []
    assert [summary.id for summary in vault.host.backups(damaged=damaged)] == [first.id]
    assert second.id[-8:] in damaged[0].object


def test_a_manifest_under_another_time_is_refused(vault: Vault, source: Path) -> None:
    vault.backup(source)
    [path] = vault.objects("manifests")
    path.rename(path.with_name("29991231T235959Z" + path.name[16:]))
    with pytest.raises(IntegrityError, match="another time in its name than in its header"):
        vault.host.backups()


def test_a_damaged_newest_backup_does_not_stop_the_next_one(vault: Vault, source: Path, tmp_path: Path) -> None:
    first = vault.backup(source)
    [path] = vault.objects("manifests")
    flip(path)
    second = vault.backup(source, parent="latest")
    assert second.header.parent is None
    assert second.header.facts["unreadable_parents"] == [first.id]
    vault.restore(second, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_damage_is_found_or_harmless(
    small: tuple[Vault, Path, BackupSummary], seed: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vault, source, summary = small
    chance = random.Random(seed)
    random.seed(seed)
    path = chance.choice([path for kind in KINDS for path in objects(vault, kind)])
    original = path.read_bytes()
    try:
        chance.choice([flip, cut, lengthen, delete, swap])(path)
        if checked(vault, summary.id):
            target = tmp_path_factory.mktemp("out")
            vault.restore(summary, target / "out")
            assert snapshot(target / "out") == snapshot(source)
    finally:
        path.write_bytes(original)


@pytest.fixture
def small(vault: Vault, tmp_path: Path) -> tuple[Vault, Path, BackupSummary]:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(20):
        (source / str(number)).write_bytes(random.randbytes(number * 50) if number % 2 else b"abc" * number * 50)
    return vault, source, vault.backup(source)


# -- hostile manifests, written by somebody who holds the repository's key --------------------------------------


def entry(type: EntryType, path: bytes, extra: bytes = b"", size: int = 0, segments: bytes = b"") -> Entry:
    return Entry(type, 0o755, 0, 0, "", "", 0, size, 0, TREE, path, segments, extra)


def forged(vault: Vault, source: Path, entries: Any) -> Manifest:
    """A whole, proven manifest with these entries."""
    summary = vault.backup(source)
    real = list(vault.full.manifest(summary.id).entries())
    files = [item for item in [*real, *entries] if item.type == "f"]
    tree = msgspec.structs.replace(
        summary.header.trees[0],
        entries=len(real) + len(entries),
        files=len(files),
        bytes=sum(item.size for item in files),
    )
    header = msgspec.structs.replace(summary.header, trees=[tree])
    text = TextWriter(vault.full.key)
    for item in [*real, *entries]:
        text.add(format_entry(item))
    stored = text.finish(msgspec.json.encode(header), vault.full.ring.recipients())
    name = f"manifests/{summary.id[:16]}-{hash_name(stored)}"
    return Manifest.load(summary.id, name, memoryview(stored), vault.full.identities, vault.full.key)


HOSTILE = {
    "a path upwards": [entry("f", b"../escaped")],
    "a path upwards in the middle": [entry("d", b"deep/.."), entry("f", b"deep/../../escaped")],
    "an absolute path": [entry("f", b"/tmp/escaped")],
    "an empty path": [entry("f", b"")],
    "an empty name": [entry("f", b"deep//escaped")],
    "a zero byte": [entry("f", b"deep/a\0b")],
    "a file called dot": [entry("f", b".")],
    "a file through a link": [entry("l", b"way", b"/tmp"), entry("f", b"way/escaped")],
    "a link and a folder of one name": [entry("l", b"way", b"/tmp"), entry("d", b"way"), entry("f", b"way/escaped")],
    "a folder and a link of one name": [entry("d", b"way"), entry("f", b"way/escaped"), entry("l", b"way", b"/tmp")],
    "the same file twice": [entry("f", b"twice"), entry("f", b"twice")],
    "a file below a file": [entry("f", b"deep-er/x")],
    "an object": [entry("o", b"key")],
    "a size without content": [entry("f", b"huge", size=1 << 60)],
    "an unknown segment": [entry("f", b"x", size=5, segments=b"00" * 32)],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_manifest_writes_nothing_outside_of_the_target(
    vault: Vault, small_source: Path, tmp_path: Path, entries: Any
) -> None:
    manifest = forged(vault, small_source, entries)
    outside = tmp_path / "outside"
    outside.mkdir()
    target = outside / "out"
    from propolis.repository import restore_folder

    with pytest.raises(PropolisError):
        restore_folder(vault.full, manifest, TREE, target)
    assert [path.name for path in outside.iterdir()] in ([], ["out"])
    assert not Path("/tmp/escaped").exists()
    assert not any(path.is_symlink() for path in outside.rglob("*"))


@pytest.fixture
def small_source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep-er").write_bytes(b"content")
    return folder


@given(st.binary(max_size=40))
def test_a_path_is_safe_or_refused(path: Any) -> None:
    try:
        parts = safe_parts(path, "x")
    except IntegrityError:
        return
    assert b"/".join(parts) == path
    assert os.path.normpath(b"/root/" + path) == b"/root/" + path


def test_set_user_id_bits_are_not_restored(vault: Vault, small_source: Path, tmp_path: Path) -> None:
    (small_source / "deep-er").chmod(0o4755)
    vault.restore(vault.backup(small_source), tmp_path / "out")
    assert (tmp_path / "out" / "deep-er").stat().st_mode & 0o7777 == 0o755


def test_a_pack_that_inflates_beyond_its_stated_size_is_refused(vault: Vault, tmp_path: Path) -> None:
    import zstandard

    from propolis.repository.crypto import age
    from propolis.repository.format.index import Pack
    from propolis.repository.format.names import pack_name
    from propolis.repository.read.packs import PackOpener

    stored = age.seal_bytes(zstandard.compress(bytes(100 << 20)), vault.full.ring.pack_recipients())
    pack = Pack(hash_name(stored), len(stored), 1 << 20, "zstd")
    vault.full.storage.put(pack_name(pack.hash), stored)
    opener = PackOpener(vault.full.storage, vault.full.identities, Stats())
    with pytest.raises(IntegrityError, match="more than 1048576 bytes"):
        opener.open(pack)


def test_a_key_ring_with_a_strangers_recipient_is_refused(vault: Vault) -> None:
    from propolis.repository import Identity

    [path] = vault.objects("keys")
    ring = msgspec.json.decode(path.read_bytes())
    ring["recovery"][0]["recipient"] = str(Identity.generate().recipient)
    data = msgspec.json.encode(ring | {"sequence": 2})
    (path.parent / f"000002-{hash_name(data)}").write_bytes(data)
    with pytest.raises(IntegrityError, match="not written by a holder"):
        Repository.open(vault.location, [vault.host_key])


def test_a_repository_that_cannot_be_written_says_so(vault: Vault, source: Path) -> None:
    (vault.folder / "tmp").rmdir()
    (vault.folder / "tmp").write_bytes(b"in the way")
    with pytest.raises(RepositoryError, match="can't be written"):
        vault.backup(source)
    assert vault.host.backups() == []


def test_a_write_that_is_lost_while_others_follow_is_no_success(
    vault: Vault, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = vault.backup(source)
    tried = []

    def sync(root: int) -> None:
        tried.append(root)
        if len(tried) == 1:
            raise OSError(errno.EIO, "Input/output error")  # the system tells of it once only

    monkeypatch.setattr(target, "sync_filesystem", sync)
    monkeypatch.setattr(target, "_CACHED", 1)
    with pytest.raises(PropolisError, match="Input/output error"):
        vault.restore(summary, tmp_path / "restored")
    assert len(tried) == 1


def test_what_is_in_the_cache_is_written_back_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()
    monkeypatch.setattr(target, "sync_filesystem", lambda root: written.set())
    monkeypatch.setattr(target, "_CACHED", 10_000)
    with target.WriteBack(-1) as cache:
        cache.wrote(1)  # takes a page
        assert not written.is_set()
        cache.wrote(9_000)
        assert written.wait(60)
