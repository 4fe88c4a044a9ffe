"""Damage hides nothing but itself, what must be there is missed, and a wrong clock decides nothing."""

import datetime
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from propolis.cli import run
from propolis.clock import utc_now
from propolis.command.known import remember
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository import Facts, Repository, restore_folder, verify
from propolis.repository.maintenance.check import check
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.records.marks import add_hold, record_verification
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.storage.opening import open_storage
from propolis.repository.write import publish
from propolis.repository.write.begin import begin
from unit.repository.prune_tools import age
from unit.repository.repository_tools import TREE, Vault, snapshot


class Stack:
    """A host with a small stack, its backups, and its commands."""

    def __init__(
        self, vault: Vault, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.vault, self._capsys, self._monkeypatch = vault, capsys, monkeypatch
        self.source = folder / "small"
        self.source.mkdir()
        for name, key in (("host.key", vault.host_key), ("recovery.key", vault.recovery_key)):
            (folder / name).write_text(key.secret())
            (folder / name).chmod(0o600)
        self.config = folder / "propolis.yaml"
        text = sample().replace("/backup/thehive", str(vault.folder)).replace("/etc/propolis", str(folder))
        text = text.replace("# state: /var/lib/propolis", f"state: {folder}/state")
        self.config.write_text(
            text.replace("# retention:\n", "retention:\n  keep:\n    last: 2\n  min_verified: 0\n")
        )
        self.settings = load(self.config)

    def backup(self, days: float = 0, **options: Any) -> str:
        """Back up what nobody backed up before; `days` is by how much the host's clock is wrong."""
        (self.source / "data").write_bytes(os.urandom(20_000))
        with self._monkeypatch.context() as patch:
            patch.setattr(publish, "utc_now", lambda: utc_now() + datetime.timedelta(days=days))
            with begin(self.vault.host, "thehive", **options) as writer:
                writer.add_folder("files", TREE, self.source, Path("/original"))
                return writer.commit(Facts()).id

    def manifest(self, id: str) -> Path:
        [path] = [path for path in self.vault.objects("manifests") if f"{path.name[:16]}-{path.name[17:25]}" == id]
        return path

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = run([*arguments, "--config", str(self.config)])
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def missing(self) -> list[str]:
        """What the repository's check, `list` and `prune` find missing: all the same."""
        known = check(open_storage(self.vault.location), [self.vault.host_key], remembered=self.remembered())
        found = [finding.what for finding in known.findings]
        out = self("list")[1]
        assert all(what in out for what in found)
        return found

    def remembered(self) -> Any:
        from propolis.command.known import remembered

        return remembered(self.settings, self.vault.host)


@pytest.fixture
def stack(vault: Vault, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(vault, tmp_path, capsys, monkeypatch)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, 30)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fold(path: Path) -> None:
    """A name that holds something else than a file."""
    path.unlink()
    path.symlink_to("/nowhere")


KINDS: list[Callable[[Path], None]] = [flip, cut, empty, fold]


# -- damaged manifests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", KINDS)
def test_a_damaged_manifest_hides_no_other_backup(stack: Stack, damage: Any) -> None:
    ids = [stack.backup() for _ in range(3)]
    damage(stack.manifest(ids[1]))
    code, out, err = stack("list")
    assert code == 14
    assert ids[0] in out and ids[2] in out
    assert ids[1][-8:] in out
    assert "damaged" in err
    listed = json.loads(stack("list", "--json")[1])
    assert [(item["id"], item["state"]) for item in listed] == [
        (ids[1], "damaged"),
        (ids[0], "whole"),
        (ids[2], "whole"),
    ]
    assert listed[0]["problem"] and not listed[1]["problem"]
    assert ids[0] in stack("show", ids[0])[1]
    assert stack("verify", ids[0])[0] == 0
    assert stack("hold", ids[0])[0] == 0


@pytest.mark.parametrize("damage", KINDS)
def test_latest_says_that_a_newer_backup_is_damaged(stack: Stack, damage: Any) -> None:
    ids = [stack.backup() for _ in range(3)]
    damage(stack.manifest(ids[2]))
    code, out, _ = stack("show")
    assert code == 0
    assert f"Backup {ids[2]} may be newer than {ids[1]}, but can't be read" in out
    code, _, err = stack("verify")
    assert code == 14, "to verify an older one would be a success of what nobody asked for"
    assert f"Backup {ids[2]} may be newer than {ids[1]}, but can't be read" in err
    assert stack("verify", ids[1])[0] == 0
    damage(stack.manifest(ids[0]))
    assert stack("show")[1].count("but can't be read") == 1


def test_if_no_backup_can_be_read_latest_says_so(stack: Stack) -> None:
    stack.backup()
    for path in stack.vault.objects("manifests"):
        flip(path)
    code, _, err = stack("show")
    assert (code, "None of the 1 backups" in err) == (14, True)


@pytest.mark.parametrize("damage", KINDS)
def test_prune_removes_nothing_that_a_damaged_backup_may_need(stack: Stack, damage: Any) -> None:
    ids = [stack.backup(parent=None) for _ in range(4)]
    age(stack.vault.folder)
    damage(stack.manifest(ids[0]))
    before = sorted(stack.vault.objects(""))
    for options in ((), ("--plan",)):
        code, _, err = stack("repository", "prune", *options)
        assert code in (13, 14)
        assert ids[0][-8:] in err
        assert "Nothing was removed" in err or "can't be read" in err
    assert sorted(stack.vault.objects("")) == before


@pytest.mark.parametrize("damage", KINDS)
def test_the_next_backup_takes_the_newest_that_is_whole_as_its_parent(stack: Stack, damage: Any) -> None:
    ids = [stack.backup() for _ in range(3)]
    damage(stack.manifest(ids[2]))
    with begin(stack.vault.host, "thehive") as writer:
        assert writer.parent == ids[1]
        assert [ids[2] in remark for remark in writer.remarks] == [True]


def test_an_unreadable_disk_is_not_taken_for_one_damaged_object(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.backup()

    def broken(self: Any, name: str, *_: Any) -> Any:
        raise RepositoryError(f"{name} can't be read: Input/output error")

    monkeypatch.setattr(FolderStorage, "head", broken)
    found: list[Any] = []
    assert stack.vault.host.backups(damaged=found) == []
    assert "Input/output error" in found[0].what  # of this object alone, as config can be read
    monkeypatch.setattr(FolderStorage, "get", broken)
    with pytest.raises(RepositoryError, match="config can't be read"):
        stack.vault.host.backups(damaged=found)


def test_after_a_repair_the_packs_of_a_damaged_backup_stay_as_long_as_its_manifest(stack: Stack) -> None:
    ids = [stack.backup(parent=None) for _ in range(4)]
    age(stack.vault.folder)
    flip(stack.manifest(ids[3]))
    packs = stack.vault.objects("packs")
    assert stack("repository", "repair")[0] == 3
    code, out, _ = stack("repository", "prune")
    assert (code, "damaged manifests in quarantine/ may need" in out) == (0, True)
    assert stack.vault.objects("packs") == packs
    assert len(stack.vault.objects("manifests")) == 2
    shutil.rmtree(stack.vault.folder / "quarantine")
    assert stack("repository", "prune")[0] == 0
    assert len(stack.vault.objects("packs")) == 2


# -- damaged indexes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", KINDS)
def test_a_damaged_index_refuses_only_those_that_need_it(stack: Stack, tmp_path: Path, damage: Any) -> None:
    first = stack.backup()
    content = snapshot(stack.source)
    known = set(stack.vault.objects("indexes"))
    second = stack.backup()
    [index] = set(stack.vault.objects("indexes")) - known
    damage(index)
    full = Repository.open(stack.vault.location, [stack.vault.recovery_key])
    for level in ("manifest", "full"):
        result = verify(full, full.resolve(first), level)
        assert result.ok
        assert index.name in result.remarks[0]
    restore_folder(full, full.manifest(full.resolve(first)), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == content
    result = verify(full, full.resolve(second))
    assert not result.ok
    assert "no index knows" in result.findings[0].what
    assert index.name in result.findings[0].what
    with pytest.raises(IntegrityError, match=index.name):
        restore_folder(full, full.manifest(full.resolve(second)), TREE, tmp_path / "other")


@pytest.mark.parametrize("damage", KINDS)
def test_a_backup_beside_a_damaged_index_stores_again_what_only_that_knew(
    stack: Stack, tmp_path: Path, damage: Any
) -> None:
    stack.backup()
    damage(stack.vault.objects("indexes")[0])
    with begin(stack.vault.host, "thehive") as writer:
        assert "stored again" in writer.remarks[0]
        writer.add_folder("files", TREE, stack.source, Path("/original"))
        summary = writer.commit(Facts())
    assert summary.header.facts["unreadable_indexes"]
    stack.vault.restore(summary, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(stack.source)


# -- copies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", KINDS)
def test_a_copy_brings_all_that_is_whole_beside_a_damaged_manifest_or_hold(
    stack: Stack, tmp_path: Path, damage: Any
) -> None:
    ids = [stack.backup() for _ in range(3)]
    add_hold(stack.vault.host, stack.vault.host.resolve(ids[0]), "case 12")
    damage(stack.manifest(ids[1]))
    damage(stack.vault.objects("holds")[0])
    damage(stack.vault.objects("keys")[0])
    target = FolderStorage(tmp_path / "copy")
    with pytest.raises((IntegrityError, RepositoryError), match="damaged") as caught:
        copy_repository(stack.vault.host.storage, target)
    assert "manifests/" in caught.value.what and "keys/" in caught.value.what
    copy = Repository(target, [stack.vault.recovery_key])
    assert [summary.id for summary in copy.backups()] == [ids[0], ids[2]]
    assert verify(copy, copy.resolve(ids[2]), "full").ok


# -- what is missing ---------------------------------------------------------------------------------------------


def test_whatever_names_a_backup_lets_it_be_missed(stack: Stack) -> None:
    held, verified, parent, newest = (stack.backup() for _ in range(4))
    add_hold(stack.vault.host, stack.vault.host.resolve(held), "case 12")
    record_verification(stack.vault.host, verify(stack.vault.host, stack.vault.host.resolve(verified), "full"))
    remember(stack.settings, stack.vault.host, stack.vault.host.resolve(newest))
    assert stack.missing() == []
    for id, why in (
        (newest, "this host recorded it"),
        (parent, "is based on it"),
        (verified, "it was verified"),
        (held, "it is held since"),
    ):
        path = stack.manifest(id)
        saved = path.read_bytes()
        path.unlink()
        [what] = stack.missing()
        assert f"Backup {id} is missing" in what and why in what
        code, _, err = stack("repository", "prune")
        assert (code, id in err, "Nothing was removed" in err) == (14, True, True)
        path.write_bytes(saved)
        path.chmod(0o600)
    assert stack.missing() == []


@pytest.mark.parametrize("folder", ["manifests", "keys", "spare"])
def test_a_folder_that_is_gone_is_missed(stack: Stack, folder: str) -> None:
    newest = stack.backup()
    remember(stack.settings, stack.vault.host, stack.vault.host.resolve(newest))
    shutil.rmtree(stack.vault.folder / folder)
    code, out, _ = stack("repository", "check")
    assert code == 14
    assert ("is missing" in out) and (newest in out or f"{folder}/000001" in out)
    assert stack("list")[0] == 14
    checked = {item["name"]: item for item in json.loads(stack("doctor", "--json")[1]) if item["result"] == "fail"}
    assert "missing" in checked["backups"]["message"]
    assert any("missing" in item["what"] for item in json.loads(stack("status", "--json")[1])["damaged"])


def test_what_retention_removed_is_not_missed(stack: Stack) -> None:
    ids = [stack.backup() for _ in range(5)]
    record_verification(stack.vault.host, verify(stack.vault.host, stack.vault.host.resolve(ids[0]), "full"))
    remember(stack.settings, stack.vault.host, stack.vault.host.resolve(ids[1]))
    age(stack.vault.folder)
    assert stack("repository", "prune", "--quiet")[0] == 0
    assert len(stack.vault.objects("manifests")) == 2
    assert stack.missing() == []
    for _ in range(3):
        stack.backup()
        assert stack("repository", "prune", "--quiet")[0] == 0
    assert stack.missing() == []
    assert len(stack.vault.objects("removals")) == 1


def test_a_copy_misses_nothing_that_was_removed_before(stack: Stack, tmp_path: Path) -> None:
    for _ in range(3):
        stack.backup()
    assert stack("repository", "prune", "--quiet")[0] == 0
    copy = FolderStorage(tmp_path / "copy")
    copy_repository(stack.vault.host.storage, copy)
    assert check(copy, [stack.vault.host_key]).ok


def test_a_damaged_record_of_removals_is_told_and_accuses_nobody(stack: Stack) -> None:
    for _ in range(3):
        stack.backup()
    assert stack("repository", "prune", "--quiet")[0] == 0
    [record] = stack.vault.objects("removals")
    flip(record)
    found = check(open_storage(stack.vault.location), [stack.vault.host_key]).findings
    assert [finding.object for finding in found] == [f"removals/{record.name}"]
    assert "is missing" not in stack("list")[1]


def test_a_backup_that_is_given_up_is_missed_once_more_and_then_no_longer(stack: Stack) -> None:
    first, _ = stack.backup(), stack.backup()
    stack.manifest(first).unlink()
    assert stack("repository", "repair", "--plan")[0] == 3
    assert len(stack.missing()) == 1
    code, out, _ = stack("repository", "repair")
    assert (code, first in out) == (3, True)
    assert stack("repository", "repair")[0] == 0
    assert stack.missing() == []
    assert stack("repository", "prune")[0] == 0


def test_a_missing_backups_hold_can_be_released(stack: Stack) -> None:
    first = stack.backup(parent=None)
    stack.backup(parent=None)
    assert stack("hold", first)[0] == 0
    stack.manifest(first).unlink()
    assert len(stack.missing()) == 1
    assert stack("hold", first[:20], "--release")[0] == 0
    assert stack.missing() == []


# -- key rings ---------------------------------------------------------------------------------------------------


def replace_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"something else")


def replace_by_a_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    (folder / "photos").mkdir(parents=True, mode=0o700)
    (folder / "photos" / "one").write_bytes(b"x")


def replace_by_another_repositorys(folder: Path) -> None:
    from propolis.repository import Identity, Location

    other = folder.parent.parent / "other"
    Repository.init(Location(str(other)), [Identity.generate().recipient], Identity.generate())
    shutil.rmtree(folder)
    shutil.copytree(other / "keys", folder)


def damage_each(folder: Path) -> None:
    for path in folder.iterdir():
        flip(path)


@pytest.mark.parametrize(
    "replace", [replace_by_a_file, replace_by_a_folder, replace_by_another_repositorys, damage_each, shutil.rmtree]
)
def test_the_spare_stands_in_for_keys_that_were_replaced(stack: Stack, tmp_path: Path, replace: Any) -> None:
    id = stack.backup()
    replace(stack.vault.folder / "keys")
    full = Repository.open(stack.vault.location, [stack.vault.recovery_key])
    restore_folder(full, full.manifest(full.resolve(id)), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(stack.source)
    code, out, _ = stack("repository", "check")
    assert (code, "keys" in out) == (14, True)
    code, out, _ = stack("list")
    assert (code, id in out, "keys" in out) == (14, True, True)
    assert "keys" in json.loads(stack("verify", id, "--json")[1])["remarks"][0]
    failed = [item["message"] for item in json.loads(stack("doctor", "--json")[1]) if item["result"] == "fail"]
    assert any("keys" in message for message in failed)


def test_a_ring_of_another_writer_is_no_reason_for_an_older_one(vault: Vault) -> None:
    import msgspec

    from propolis.repository.crypto.identities import Identity
    from propolis.repository.format.names import hash_name

    [path] = vault.objects("keys")
    ring = msgspec.json.decode(path.read_bytes())
    ring["recovery"][0]["recipient"] = str(Identity.generate().recipient)
    data = msgspec.json.encode(ring | {"sequence": 2})
    (path.parent / f"000002-{hash_name(data)}").write_bytes(data)
    with pytest.raises(IntegrityError, match="not written by a holder"):
        Repository.open(vault.location, [vault.host_key])
    # In place of one of the same number, its spare is the right one.
    (path.parent / f"000002-{hash_name(data)}").unlink()
    data = msgspec.json.encode(ring)
    path.unlink()
    (path.parent / f"000001-{hash_name(data)}").write_bytes(data)
    assert Repository.open(vault.location, [vault.host_key]).damaged_rings


# -- clocks ------------------------------------------------------------------------------------------------------


def test_a_backup_of_the_future_is_neither_the_latest_nor_silent(stack: Stack) -> None:
    good = [stack.backup(days) for days in (0, 0)]
    future = stack.backup(3653)
    assert future.startswith("2036")
    assert stack.vault.host.latest() == good[1]
    remark = stack("show")[1]
    assert future in remark and "ahead" in remark
    code, out, _ = stack("list")
    assert code == 0
    assert "clock wrong" in out and "ahead" in out
    checks = [item for item in json.loads(stack("doctor", "--json")[1]) if item["name"] == "backup times"]
    assert [item["result"] for item in checks] == ["warn"]
    assert "ahead" in json.loads(stack("status", "--json")[1])["remarks"][0]
    after = stack.backup()
    assert stack.vault.host.latest() == after
    assert [summary.id for summary in stack.vault.host.backups()] == [*good, future, after]
    assert stack.vault.host.summary(stack.vault.host.resolve(after)).header.parent == future
    listed = json.loads(stack("list", "--json")[1])
    assert [bool(item["clock"]) for item in listed] == [False, False, True, False]
    assert listed[2]["time"] < "2036"


def test_a_backup_of_the_future_pushes_no_other_out(stack: Stack) -> None:
    ids = [stack.backup() for _ in range(3)]
    future = stack.backup(3653)
    after = stack.backup()
    age(stack.vault.folder)
    assert stack("repository", "prune", "--quiet")[0] == 0
    kept = {id for id, _ in stack.vault.host.names()}
    assert {ids[2], after} <= kept  # keep.last: 2
    assert ids[0] not in kept
    last = stack.backup()
    age(stack.vault.folder)
    assert stack("repository", "prune", "--quiet")[0] == 0
    assert [id for id, _ in stack.vault.host.names()] == sorted([after, last])
    assert future not in stack("list")[1]
    assert stack.missing() == []


def test_a_backup_of_1970_is_not_the_oldest(stack: Stack) -> None:
    ids = [stack.backup() for _ in range(2)]
    behind = stack.backup(-20_000)
    assert behind.startswith("197")
    assert [summary.id for summary in stack.vault.host.backups()] == [*ids, behind]
    assert "behind" in stack("list")[1]
    age(stack.vault.folder)
    assert stack("repository", "prune", "--quiet")[0] == 0
    assert {behind, *ids} == {id for id, _ in stack.vault.host.names()}
    after = stack.backup()
    assert [summary.id for summary in stack.vault.host.backups()] == [*ids, behind, after]
    assert stack.vault.host.latest() == after


def test_a_host_whose_clock_is_behind_says_so_and_keeps_the_order(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from propolis.repository.catalog import listing

    ids = [stack.backup() for _ in range(2)]
    monkeypatch.setattr(listing, "utc_now", lambda: utc_now() - datetime.timedelta(days=20_000))
    assert stack.vault.host.latest() == ids[1]
    out = stack("list")[1]
    assert "This host's clock is behind" in out
    assert "clock wrong" not in out
