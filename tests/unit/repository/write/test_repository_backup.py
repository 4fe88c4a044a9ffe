"""Backups go in and come back."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from propolis.errors import BusyError, ConfigError, IncompleteError, PropolisError, RepositoryError
from propolis.repository import Facts, Identity, Location, Repository, restore_folder, verify
from propolis.repository.write.begin import begin
from unit.repository.repository_tools import TREE, Vault, fill, snapshot


def test_a_folder_comes_back_identically(vault: Vault, source: Path, tmp_path: Path) -> None:
    summary = vault.backup(source)
    result = vault.restore(summary, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
    assert (result.files, result.bytes) == (summary.files, summary.bytes)


def test_the_repository_is_private_to_its_owner(vault: Vault, source: Path) -> None:
    vault.backup(source)
    for path in [vault.folder, *vault.folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_unchanged_files_are_not_read_again(vault: Vault, source: Path, tmp_path: Path) -> None:
    first = vault.backup(source)
    (source / "added").write_bytes(b"new content")
    (source / "text").unlink()
    second = vault.backup(source)
    assert second.header.parent == first.id
    assert (vault.stats.read, vault.stats.new) == (len(b"new content"), len(b"new content"))
    changed_or_empty = {"added", "nothing"}
    files = [path for path in source.rglob("*") if path.is_file() and not path.is_symlink()]
    assert vault.stats.unchanged >= sum(path.name not in changed_or_empty for path in files)
    vault.restore(second, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_files_that_moved_are_read_but_not_stored_again(vault: Vault, source: Path, tmp_path: Path) -> None:
    vault.backup(source)
    copy = tmp_path / "copy"
    shutil.copytree(source, copy, symlinks=True)
    summary = vault.backup(copy, tree="files/moved")
    assert vault.stats.read == summary.bytes
    assert (vault.stats.new, vault.stats.packs) == (0, 0)


def test_the_same_content_is_stored_once(vault: Vault, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    content = os.urandom(50_000)
    for number in range(30):
        (source / str(number)).write_bytes(content)
    vault.backup(source)
    assert vault.stats.new == 50_000


def test_a_clones_files_are_known_by_the_originals_inodes(vault: Vault, source: Path, tmp_path: Path) -> None:
    inodes = {str(path.relative_to(source)): path.lstat().st_ino for path in source.rglob("*") if path.is_file()}
    for name in ("one", "two"):
        clone = tmp_path / name
        shutil.copytree(source, clone, symlinks=True)
        with begin(vault.host, "hive") as writer:
            writer.add_folder("files", TREE, clone, source, inode_of=inodes)
            writer.commit(Facts())
    assert writer.stats.read == 0


def test_a_file_replaced_by_another_of_equal_size_and_time_is_read(
    vault: Vault, source: Path, tmp_path: Path
) -> None:
    victim = source / "deep-er"
    vault.backup(source)
    status = victim.stat()
    other = tmp_path / "other"
    other.write_bytes(victim.read_bytes()[::-1])
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(victim)
    vault.restore(vault.backup(source), tmp_path / "out")
    assert (tmp_path / "out" / "deep-er").read_bytes() == victim.read_bytes()


def test_two_trees_in_any_order_are_recognised(vault: Vault, source: Path, tmp_path: Path) -> None:
    second = fill(tmp_path / "second", seed=2)
    for trees in (["a", "b"], ["b", "a"], ["b", "c", "a"]):
        with begin(vault.host, "hive") as writer:
            for tree in trees:
                writer.add_folder("files", tree, second if tree == "b" else source, Path("/original"))
            summary = writer.commit(Facts())
    assert writer.stats.read == sum(p.stat().st_size for p in source.rglob("*") if p.is_file() and not p.is_symlink())
    vault.restore(summary, tmp_path / "out", tree="b")
    assert snapshot(tmp_path / "out") == snapshot(second)


def test_a_choice_of_paths_comes_back_with_its_folders(vault: Vault, source: Path, tmp_path: Path) -> None:
    summary = vault.backup(source)
    vault.restore(summary, tmp_path / "out", paths=lambda path: path.startswith(b"deep/er/00"))
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
        f"deep/er/{number:03}" for number in range(10)
    ]


def test_what_is_excluded_is_left_out(vault: Vault, source: Path) -> None:
    with begin(vault.host, "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"), exclude=lambda path: path == "deep")
        summary = writer.commit(Facts())
    paths = [entry.path for entry in vault.host.manifest(summary.id).entries()]
    assert b"deep-er" in paths
    assert not any(path == b"deep" or path.startswith(b"deep/") for path in paths)


def test_backups_are_listed_newest_last_and_found_by_their_beginning(vault: Vault, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    assert vault.host.backups() == []
    with pytest.raises(RepositoryError, match="has no backup"):
        vault.host.resolve("latest")
    made = [vault.backup(source) for _ in range(2)]
    (source / "file").write_bytes(b"1")
    with begin(vault.host, "other", parent=None) as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        other = writer.commit(Facts(services={"thehive": "5.4"}, facts={"cluster": "c"}))
    assert [summary.id for summary in vault.host.backups()] == [summary.id for summary in [*made, other]]
    assert vault.host.resolve("latest") == other.id
    assert [summary.id for summary in vault.host.backups("other")] == [other.id]
    assert vault.host.resolve("latest", "other") == other.id
    assert vault.host.resolve(other.id) == other.id
    assert vault.host.summary(other.id).header.services == {"thehive": "5.4"}
    assert vault.host.manifest(other.id).header == other.header
    with pytest.raises(RepositoryError, match="matches 3 backups"):
        vault.host.resolve("2")
    with pytest.raises(RepositoryError, match="has no backup 'zzz'"):
        vault.host.resolve("zzz")


def test_the_hosts_key_reads_no_data(vault: Vault, source: Path, tmp_path: Path) -> None:
    summary = vault.backup(source)
    manifest = vault.host.manifest(summary.id)
    with pytest.raises(RepositoryError) as caught:
        restore_folder(vault.host, manifest, TREE, tmp_path / "out")
    assert str(vault.recovery_key.recipient) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_packs_can_be_readable_by_the_host_when_wanted(tmp_path: Path, source: Path) -> None:
    host = Identity.generate()
    repository = Repository.init(
        Location(str(tmp_path / "open")), [Identity.generate().recipient], host, packs_readable_by_host=True
    )
    with begin(repository, "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        summary = writer.commit(Facts())
    restore_folder(repository, repository.manifest(summary.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_a_strangers_key_is_refused_with_the_name_of_the_right_one(vault: Vault) -> None:
    with pytest.raises(RepositoryError) as caught:
        Repository.open(vault.location, [Identity.generate()])
    assert str(vault.recovery_key.recipient) in str(caught.value)
    assert str(vault.host_key.recipient) in str(caught.value)


def test_without_a_key_stored_bytes_can_be_named_but_not_read(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    keyless = Repository.open(vault.location, [])
    assert [id for id, _ in keyless.names()] == [summary.id]
    with pytest.raises(RepositoryError, match="opened without a key"):
        keyless.manifest(summary.id)


def test_a_missing_folder_an_empty_one_and_a_relative_one_are_told_apart(tmp_path: Path) -> None:
    key = [Identity.generate()]
    with pytest.raises(RepositoryError, match="there is no such folder"):
        Repository.open(Location(str(tmp_path / "unplugged")), key)
    with pytest.raises(RepositoryError, match="no repository at"):
        Repository.open(Location(str(tmp_path)), key)
    with pytest.raises(ConfigError, match="absolute"):
        Repository.open(Location("relative/folder"), key)
    with pytest.raises(ConfigError, match="neither"):
        Repository.open(Location("ftp://host/x"), key)


def test_a_second_repository_is_not_made_over_the_first(vault: Vault) -> None:
    before = (vault.folder / "config").read_bytes()
    with pytest.raises(RepositoryError, match="already"):
        Repository.init(vault.location, [vault.recovery_key.recipient])
    assert (vault.folder / "config").read_bytes() == before


def test_a_newer_format_is_left_alone(vault: Vault) -> None:
    config = vault.folder / "config"
    config.write_bytes(config.read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(RepositoryError, match="format 2"):
        Repository.open(vault.location, [vault.host_key])


def test_a_repository_that_vanishes_is_an_error_and_no_empty_list(vault: Vault, source: Path) -> None:
    vault.folder.rename(vault.folder.with_name("away"))
    with pytest.raises(RepositoryError, match="there is no such folder"):
        vault.host.backups()
    with pytest.raises(RepositoryError, match="there is no such folder"):
        vault.backup(source)


def test_files_that_change_vanish_or_hide_are_named_and_no_backup_is_made(vault: Vault, source: Path) -> Any:
    (source / "gone").write_bytes(b"x" * 10)
    (source / "grown").write_bytes(b"y" * 10)
    with pytest.raises(IncompleteError) as caught, begin(vault.host, "hive") as writer:
        entries = 0

        def spoil(path: str) -> bool:
            nonlocal entries
            entries += 1
            if path == "text":  # the last: all have been listed, none of the small ones handed out
                (source / "gone").unlink()
                (source / "grown").write_bytes(b"y" * 11)
            return False

        writer.add_folder("files", TREE, source, Path("/original"), exclude=spoil)
        writer.commit(Facts())
    assert "gone (it vanished" in str(caught.value)
    assert "grown (it changed" in str(caught.value)
    assert vault.host.backups() == []


def test_a_folder_that_is_missing_makes_no_backup(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match="No such file"):
        vault.backup(tmp_path / "missing")
    assert vault.host.backups() == []


def test_a_backup_without_commit_is_none_and_the_next_one_profits(vault: Vault, source: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), begin(vault.host, "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        writer._hand_out()
        writer._intake.finish()
        raise KeyboardInterrupt
    assert vault.host.backups() == []
    summary = vault.backup(source)
    assert vault.stats.read == summary.bytes
    assert vault.stats.new == 0
    vault.restore(summary, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
    assert vault.objects("locks") == []


def test_a_restore_target_that_holds_something_is_left_alone(vault: Vault, source: Path, tmp_path: Path) -> None:
    summary = vault.backup(source)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_bytes(b"mine")
    with pytest.raises(PropolisError, match="is not empty"):
        vault.restore(summary, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_removal_waits_for_backups_and_backups_for_removal(vault: Vault, source: Path) -> None:
    shared, exclusive = (vault.host.lease(kind) for kind in ("shared", "exclusive"))
    with shared, vault.host.lease("shared"), pytest.raises(BusyError, match="in use by process"), exclusive:
        pass
    with vault.host.lease("exclusive"), pytest.raises(BusyError, match="exclusive"):
        vault.backup(source)
    vault.backup(source)
    assert vault.objects("locks") == []


def test_a_dead_holders_lease_expires(vault: Vault, source: Path) -> None:
    stale = vault.folder / "locks" / ("exclusive-20200101T000000Z-" + "0" * 32)
    stale.parent.mkdir(exist_ok=True)
    stale.write_bytes(b"{}")
    vault.backup(source)


def test_whole_backups_pass_every_level_of_verification(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    for level in ("manifest", "sample", "full"):
        result = verify(vault.full, summary.id, level)
        assert result.ok
        assert (result.files, result.bytes) == (summary.files, summary.bytes)
    assert result.decrypted
    assert result.packs_read == result.packs == len(vault.objects("packs"))
    assert result.stored_bytes_read == sum(path.stat().st_size for path in vault.objects("packs"))
    assert not verify(vault.host, summary.id, "full").decrypted
