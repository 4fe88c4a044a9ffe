"""A repair brings back what the stack or packs still have, puts the rest aside, and harms nothing when killed."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository import BackupSummary, Facts, Identity, Repository, restore_folder, verify
from propolis.repository.maintenance.check import ReadData, check
from propolis.repository.maintenance.prune import prune
from propolis.repository.maintenance.repair import RepairResult, repair
from propolis.repository.storage.opening import open_storage
from propolis.repository.write.begin import begin
from propolis.s3.objects import ObjectMeta
from unit.repository.memory_storage import MemoryStorage
from unit.repository.prune_tools import Clocks, Dated, Process, View
from unit.repository.repository_tools import TREE, Vault, snapshot


def flip(path: Path, where: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if where is None else where] ^= 1
    path.write_bytes(data)


def mended(vault: Vault, source: Path | None, *, key: str = "host", plan: bool = False) -> RepairResult:
    identity = vault.recovery_key if key == "recovery" else vault.host_key
    repository = Repository.open(vault.location, [identity])
    with repository.lease("shared" if plan else "exclusive") as lease:
        return repair(repository, {TREE: source} if source else {}, plan=plan, read_data=ReadData(), lease=lease)


def whole(vault: Vault, summary: BackupSummary) -> bool:
    repository = Repository.open(vault.location, [vault.recovery_key])
    return verify(repository, summary.id, "full").ok


def pass_days(folder: Path, days: int) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            modified = path.stat().st_mtime - days * 86_400
            os.utime(path, (modified, modified))


def test_a_whole_repository_is_left_as_it_is(vault: Vault, source: Path) -> None:
    vault.backup(source)
    before = {path: path.read_bytes() for path in vault.folder.rglob("*") if path.is_file()}
    result = mended(vault, source)
    assert result.ok
    assert (result.damaged, result.quarantined, result.indexes) == ((), (), 0)
    assert {path: path.read_bytes() for path in vault.folder.rglob("*") if path.is_file()} == before


def test_lost_packs_come_back_from_the_stacks_files(vault: Vault, source: Path, tmp_path: Path) -> None:
    summary = vault.backup(source)
    flip(vault.objects("packs")[0])
    for path in vault.objects("packs")[1:]:
        path.unlink()
    assert not whole(vault, summary)
    result = mended(vault, source)
    assert result.ok
    assert result.from_stack == result.lost_segments > 40
    assert whole(vault, summary)
    vault.restore(summary, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
    assert check(open_storage(vault.location), [vault.recovery_key], read_data=ReadData()).ok


def test_what_changed_in_the_stack_is_not_taken_and_its_files_are_named(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    for path in vault.objects("packs"):
        path.unlink()
    (source / "text").write_bytes(b"changed since")
    (source / "deep" / "large").unlink()
    result = mended(vault, source)
    assert not result.ok
    [loss] = result.losses
    assert loss.backup == summary.id
    assert set(loss.examples) == {f"{TREE}/text", f"{TREE}/deep/large"}
    assert loss.files == 2


def test_damaged_objects_are_put_aside_and_not_deleted(vault: Vault, source: Path) -> None:
    vault.backup(source)
    path = vault.objects("packs")[0]
    flip(path)
    damaged = path.read_bytes()
    [index] = vault.objects("indexes")
    old_index = index.read_bytes()
    result = mended(vault, source)
    assert f"packs/{path.name[:2]}/{path.name}" in result.quarantined
    kept = [aside.read_bytes() for aside in vault.objects("quarantine")]
    assert sorted(kept) == sorted([damaged, old_index])
    assert not path.exists()


def test_a_plan_tells_the_same_and_touches_nothing(vault: Vault, source: Path) -> None:
    vault.backup(source)
    flip(vault.objects("packs")[0])
    before = {path: path.read_bytes() for path in vault.folder.rglob("*") if path.is_file()}
    planned = mended(vault, source, plan=True)
    after = {path: path.read_bytes() for path in vault.folder.rglob("*") if path.is_file()}
    assert after == before
    done = mended(vault, source)
    assert (planned.damaged, planned.quarantined, planned.from_stack) == (
        done.damaged,
        done.quarantined,
        done.from_stack,
    )
    assert planned.from_stack > 0


def test_whole_pieces_of_a_damaged_pack_are_saved_with_the_recovery_key(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}").write_bytes(random.Random(number).randbytes(20_000))
    summary = vault.backup(folder)
    for path in vault.objects("packs"):
        flip(path)
    assert mended(vault, None, plan=True).from_packs == 0
    result = mended(vault, None, key="recovery")
    [loss] = result.losses
    assert 1 <= loss.files <= 10
    assert result.from_packs == result.lost_segments - loss.files > 0
    repository = Repository.open(vault.location, [vault.recovery_key])
    out = tmp_path / "out"
    lost = {path.removeprefix(f"{TREE}/").encode() for path in loss.examples}
    # What is left is restored byte-identically; the lost files alone are refused.
    with pytest.raises(Exception, match="no index knows"):
        restore_folder(repository, repository.manifest(summary.id), TREE, tmp_path / "refused")
    restore_folder(repository, repository.manifest(summary.id), TREE, out, paths=lambda path: path not in lost)
    for path in folder.iterdir():
        if path.name.encode() not in lost:
            assert (out / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_a_lost_index_is_made_again_from_the_packs_with_the_recovery_key(
    vault: Vault, source: Path, tmp_path: Path, how: Any
) -> None:
    summary = vault.backup(source)
    for path in vault.objects("indexes"):
        path.unlink() if how == "missing" else flip(path)
    packs = vault.objects("packs")
    result = mended(vault, None, key="recovery")
    assert result.ok
    assert result.packs_made_known == len(packs)
    assert result.stored_bytes == 0
    assert vault.objects("packs") == packs
    vault.restore(summary, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_a_damaged_manifest_is_put_aside_so_that_the_others_can_be_listed(vault: Vault, source: Path) -> None:
    first, second = vault.backup(source), vault.backup(source)
    flip(vault.objects("manifests")[1], 400)
    result = mended(vault, source)
    assert [(loss.backup, loss.files) for loss in result.losses] == [(second.id, 0)]
    assert [summary.id for summary in Repository.open(vault.location, [vault.host_key]).backups()] == [first.id]


def test_links_in_the_stack_are_not_followed(vault: Vault, source: Path) -> None:
    vault.backup(source)
    content = (source / "text").read_bytes()
    (source.parent / "elsewhere").write_bytes(content)
    (source / "text").unlink()
    (source / "text").symlink_to(source.parent / "elsewhere")
    for path in vault.objects("packs"):
        path.unlink()
    [loss] = mended(vault, source).losses
    assert loss.examples == (f"{TREE}/text",)


def test_a_repair_without_a_key_is_refused(vault: Vault, source: Path) -> None:
    vault.backup(source)
    with pytest.raises(RepositoryError, match="without a key"):
        repair(Repository.open(vault.location, []))


def test_a_link_in_place_of_a_pack_is_replaced_and_left(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    path = vault.objects("packs")[0]
    path.rename(source.parent / "aside")
    path.symlink_to(source.parent / "aside")
    result = mended(vault, source, key="recovery")
    assert result.ok
    assert path.is_symlink()
    assert any(path.name in remark for remark in result.remarks)
    assert whole(vault, summary)


def test_what_was_put_aside_is_told_of_and_goes_with_a_prune_after_a_month(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    flip(vault.objects("packs")[0])
    assert mended(vault, source).ok
    aside = vault.objects("quarantine")
    bytes = sum(path.stat().st_size for path in aside)
    result = check(open_storage(vault.location), [vault.host_key])
    assert result.ok
    assert [f"{len(aside)} objects ({bytes} bytes)" in remark for remark in result.remarks] == [True]
    rules = RetentionConfig(grace_hours=0)
    for days, left in ((0, aside), (29, aside), (2, [])):
        pass_days(vault.folder, days)
        planned = prune(vault.host, rules, "hive", plan=True)
        assert vault.objects("quarantine") == aside
        done = prune(vault.host, rules, "hive")
        assert planned.quarantine_removed == done.quarantine_removed == len(aside) - len(left)
        assert vault.objects("quarantine") == left
    assert whole(vault, summary)


def test_what_was_put_aside_stays_while_a_backup_lacks_something(vault: Vault, source: Path) -> None:
    vault.backup(source)
    flip(vault.objects("packs")[0])
    assert not mended(vault, None).ok
    aside = vault.objects("quarantine")
    pass_days(vault.folder, 1000)
    result = prune(vault.host, RetentionConfig(grace_hours=0), "hive")
    assert result.findings
    assert vault.objects("quarantine") == aside


def test_what_was_put_aside_without_the_recovery_key_can_be_put_back_and_searched_with_it(
    vault: Vault, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}").write_bytes(random.Random(number).randbytes(20_000))
    vault.backup(folder)
    for path in vault.objects("packs"):
        flip(path)
    [lost_all] = mended(vault, None).losses
    for path in vault.objects("quarantine"):
        back = vault.folder / str(path.relative_to(vault.folder / "quarantine"))[:-17]
        back.parent.mkdir(exist_ok=True)
        path.rename(back)
    result = mended(vault, None, key="recovery")
    assert result.from_packs > 0
    assert result.losses[0].files < lost_all.files == 40


@pytest.mark.parametrize("by", ["prune", "backup"])
def test_a_repair_that_slept_at_any_operation_while_others_went_by_costs_them_nothing(
    vault: Vault, tmp_path: Path, by: str
) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    clocks, count = Clocks(), Process()
    made = []
    for number in range(3):
        (folder / f"{number}").write_bytes(os.urandom(30_000))
        made.append(vault.backup(folder).id)
        damaged = set(vault.objects("packs"))
    for path in sorted(damaged)[:2]:
        flip(path)
    pristine = Dated.of(vault, clocks)

    def repaired(storage: Any) -> RepairResult:
        repository = Repository(storage, [vault.recovery_key])
        with repository.lease("exclusive") as lease:
            return repair(repository, {TREE: folder}, read_data=ReadData(), lease=lease)

    def backed_up(storage: Any) -> None:
        with begin(Repository(storage, [vault.host_key]), "hive", workers=1) as writer:
            writer.add_folder("files", TREE, folder, folder)
            writer.commit(Facts())

    repaired(View(pristine.clone(), count))
    rules = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, min_fill=100, grace_hours=0)
    with clocks.rule():
        for at in range(1, count.done + 1):
            storage = pristine.clone()

            def others(storage: Dated = storage) -> None:
                with clocks.asleep():
                    storage.age()
                    if by == "backup":
                        backed_up(storage)
                    else:
                        prune(Repository(storage, [vault.recovery_key]), rules, "hive")

            with contextlib.suppress(RepositoryError, IntegrityError):
                repaired(View(storage, Process(at, others)))
            clocks.set()
            again = repaired(storage)
            assert again.ok, again
            full = Repository(storage, [vault.recovery_key])
            assert made[-1] in [id for id, _ in full.names()]
            for id, _ in full.names():
                assert verify(full, id, "full").ok
            assert {pack.hash for pack in full.load_table().packs} <= {name[-64:] for name in storage.names("packs")}


class Failing(MemoryStorage):
    """A storage that can't read some objects, as with bad blocks on a disk."""

    bad: tuple[str, ...] = ()

    def get(self, name: str, limit: int) -> memoryview:
        if name in self.bad:
            raise RepositoryError(f"{name} can't be read: Input/output error")
        return super().get(name, limit)


@pytest.mark.parametrize("kind", ["packs", "indexes", "manifests"])
def test_what_the_storage_does_not_give_is_left_alone_and_no_success(vault: Vault, source: Path, kind: Any) -> None:
    vault.backup(source)
    objects = {str(path.relative_to(vault.folder)): path.read_bytes() for path in vault.objects("")}
    storage = Failing(objects)
    storage.bad = tuple(name for name in objects if name.startswith(kind))[:1]
    assert not check(storage, [vault.host_key], read_data=ReadData()).ok
    result = repair(Repository(storage, [vault.host_key]), {}, read_data=ReadData())
    assert not result.ok
    assert [storage.bad[0] in told for told in result.unreadable] == [True]
    assert storage.bad[0] in storage.objects
    assert result.quarantined == ()


class Bucket:
    """Objects to back up."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def list(self) -> Iterator[ObjectMeta]:
        for key, data in sorted(self.objects.items()):
            yield ObjectMeta(key, len(data), str(hash(data)), 1)

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[bytes]]:
        if key not in self.objects:
            raise FileNotFoundError(key)
        data = self.objects[key]
        chunks = (data[start : start + 70_001] for start in range(0, len(data), 70_001))
        return ObjectMeta(key, len(data), str(hash(data)), 1), chunks


def test_objects_of_a_bucket_are_a_source_too(vault: Vault) -> None:
    chance = random.Random(3)
    bucket = Bucket(
        {"a": chance.randbytes(100), "b": chance.randbytes((2 << 20) + 5), "c": chance.randbytes(1 << 20)}
    )
    with begin(vault.host, "hive") as writer:
        writer.add_bucket("files", TREE, bucket, "s3://x")
        summary = writer.commit(Facts())
    for path in vault.objects("packs"):
        path.unlink()
    del bucket.objects["a"]
    repository = Repository.open(vault.location, [vault.host_key])
    result = repair(repository, {TREE: bucket}, read_data=ReadData())
    assert (result.lost_segments, result.from_stack) == (5, 4)
    assert [loss.examples for loss in result.losses] == [(f"{TREE}/a",)]
    assert result.losses[0].backup == summary.id


# -- killed at any point -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


class DyingStorage(MemoryStorage):
    """Ends the process before the n-th change."""

    def __init__(self, objects: dict[str, bytes], changes: int) -> None:
        super().__init__(objects)
        self.changes = changes

    def _count(self) -> None:
        if self.changes == 0:
            raise Killed
        self.changes -= 1

    def put(self, name: str, data: bytes | bytearray | memoryview, *, create: bool = False) -> None:
        self._count()
        super().put(name, data, create=create)

    def delete(self, name: str) -> None:
        self._count()
        super().delete(name)


def test_a_repair_killed_at_any_change_harms_nothing_and_the_next_one_finishes(tmp_path: Path) -> None:
    host, recovery = Identity.generate(), Identity.generate()
    storage = MemoryStorage()
    repository = Repository.create(storage, [recovery.recipient], host, segment_bytes=4096)
    source = tmp_path / "source"
    source.mkdir()
    for number in range(12):
        (source / str(number)).write_bytes(os.urandom(number * 700 + 1))
    with begin(repository, "hive", workers=1) as writer:
        writer.add_folder("files", TREE, source, source)
        summary = writer.commit(Facts())
    packs = [name for name in storage.objects if name.startswith("packs/")]
    for name in packs[::2]:
        storage.objects[name] = storage.objects[name][:-1] + b"x"
    del storage.objects[packs[1]]
    damaged = dict(storage.objects)
    sound = packs[3::2]
    killed = 0
    while True:
        dying = DyingStorage(damaged, killed)
        try:
            repair(Repository(dying, [host]), {TREE: source}, read_data=ReadData())
        except Killed:
            killed += 1
        else:
            break
        # All that was whole is there still, and nothing of what was damaged is gone for good.
        assert all(dying.objects[name] == damaged[name] for name in sound)
        kept = set(dying.objects.values())
        assert all(data in kept for data in damaged.values())
        again = MemoryStorage(dying.objects)
        assert repair(Repository(again, [host]), {TREE: source}, read_data=ReadData()).ok
        assert verify(Repository(again, [recovery]), summary.id, "full").ok
        assert check(again, [recovery], read_data=ReadData()).ok
    assert killed > 5
