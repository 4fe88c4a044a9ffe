"""A copy holds what its source holds, goes on where it was stopped, and harms nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from propolis.cli import run
from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import BusyError, IntegrityError, RepositoryError
from propolis.repository import Facts, Identity, Location, Repository, restore_folder, verify
from propolis.repository.access.keyring import KeyHolder
from propolis.repository.format.names import pack_name
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.maintenance.prune import prune
from propolis.repository.maintenance.rekey import add_key
from propolis.repository.records.marks import add_hold
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.write.begin import begin
from unit.repository.access.test_keys_on_the_command_line import CONFIG
from unit.repository.prune_tools import Clocks, Dated, Forgetful, Process, View
from unit.repository.repository_tools import TREE, Vault, snapshot


class Stopping(FolderStorage):
    """A folder that fails at the n-th object stored."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self.left = after

    def put(self, name: str, data: Any, *, create: bool = False) -> None:
        if not name.startswith("locks/"):
            self.left -= 1
            if self.left < 0:
                raise RepositoryError("cut")
        super().put(name, data, create=create)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("tmp", "locks", "reserve")
    }


@pytest.fixture
def target(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "second")


def test_a_copy_is_byte_identical_and_restores(vault: Vault, source: Path, tmp_path: Path, target: Any) -> None:
    first = vault.backup(source)
    planned = copy_repository(vault.host.storage, target, plan=True)
    assert not (tmp_path / "second").exists()
    done = copy_repository(vault.host.storage, target)
    assert (planned.objects, planned.bytes, planned.backups) == (done.objects, done.bytes, (first.id,))
    assert done.new and contents(vault.folder) == contents(tmp_path / "second")
    (source / "more").write_bytes(b"more")
    second = vault.backup(source)
    again = copy_repository(vault.host.storage, target)
    assert (again.new, again.objects, again.backups) == (False, 3, (second.id,))
    assert copy_repository(vault.host.storage, target).objects == 0
    copy = Repository.open(Location(str(tmp_path / "second")), [vault.recovery_key])
    assert verify(copy, second.id, "full").ok
    restore_folder(copy, copy.manifest(second.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_a_copy_stopped_anywhere_lists_only_whole_backups_and_goes_on(
    vault: Vault, source: Path, tmp_path: Path
) -> None:
    vault.backup(source)
    (source / "more").write_bytes(b"more")
    vault.backup(source)
    objects = len(contents(vault.folder))
    for after in range(objects):
        place = tmp_path / f"stopped-{after}"
        with pytest.raises(RepositoryError, match="cut"):
            copy_repository(vault.host.storage, Stopping(place, after))
        if (place / "config").exists():
            stopped = Repository.open(Location(str(place)), [vault.recovery_key])
            for id, _ in stopped.names():
                assert verify(stopped, id, "full").ok
        before = len(contents(place))
        result = copy_repository(vault.host.storage, FolderStorage(place))
        assert result.objects + before >= objects - 1  # config isn't counted
        assert contents(place) == contents(vault.folder)


def test_nothing_is_deleted_at_the_target_and_what_is_cut_short_is_mended(
    vault: Vault, source: Path, tmp_path: Path, target: Any
) -> None:
    vault.backup(source)
    copy_repository(vault.host.storage, target)
    whole = contents(vault.folder)
    (tmp_path / "second" / "notes").write_bytes(b"somebody's")
    pack = next(path for path in (tmp_path / "second" / "packs").rglob("*") if path.is_file())
    pack.write_bytes(pack.read_bytes()[:-1])
    for path in vault.objects("manifests"):
        path.unlink()
    assert copy_repository(vault.host.storage, target).objects == 1
    assert contents(tmp_path / "second") == whole | {"notes": b"somebody's"}


def test_a_damaged_source_adds_no_backup_to_the_copy(vault: Vault, source: Path, tmp_path: Path, target: Any) -> None:
    vault.backup(source)
    pack = vault.objects("packs")[0]
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    with pytest.raises(IntegrityError, match=pack.name):
        copy_repository(vault.host.storage, target)
    copied = contents(tmp_path / "second")
    assert not any(name.startswith("manifests/") or name.endswith(pack.name) for name in copied)
    assert sum(name.startswith("packs/") for name in copied) == len(vault.objects("packs")) - 1


@pytest.mark.parametrize("keeps", [0, 100])
@pytest.mark.parametrize("kind", ["packs/", "indexes/", "manifests/"])
def test_a_target_that_loses_what_it_took_is_no_success_and_lists_no_backup(
    vault: Vault, source: Path, kind: str, keeps: int
) -> None:
    vault.backup(source)
    target = Forgetful()
    target.forgets, target.keeps = kind, keeps
    with pytest.raises(IntegrityError, match="as it was stored"):
        copy_repository(vault.host.storage, target)
    assert kind == "manifests/" or not target.names("manifests")
    target.forgets = "nothing"
    copy_repository(vault.host.storage, target)
    assert contents(vault.folder).items() <= target.objects.items()


def test_what_is_held_is_held_in_the_copy(vault: Vault, source: Path, target: FolderStorage) -> None:
    first = vault.backup(source)
    add_hold(vault.host, first.id, "case 4711")
    vault.backup(source)
    copy_repository(vault.host.storage, target)
    last = RetentionConfig(keep=KeepConfig(last=1), min_verified=0)
    assert prune(Repository(target, [vault.host_key]), last, "hive").removed == ()


def test_another_repository_is_never_copied_into(vault: Vault, source: Path, tmp_path: Path, target: Any) -> None:
    vault.backup(source)
    Repository.init(Location(str(tmp_path / "second")), [vault.recovery_key.recipient], vault.host_key)
    before = contents(tmp_path / "second")
    with pytest.raises(RepositoryError, match="another repository"):
        copy_repository(vault.host.storage, target)
    assert contents(tmp_path / "second") == before


def test_changed_keys_reach_the_copy_and_keys_changed_at_the_copy_are_refused(
    vault: Vault, source: Path, tmp_path: Path, target: Any
) -> None:
    vault.backup(source)
    copy_repository(vault.host.storage, target)
    new = Identity.generate()
    add_key(vault.full, KeyHolder.of("new", new.recipient))
    copy_repository(vault.host.storage, target)
    copy = Repository.open(Location(str(tmp_path / "second")), [new])
    assert verify(copy, copy.resolve("latest"), "full").ok
    add_key(copy, KeyHolder.of("newer", Identity.generate().recipient))
    with pytest.raises(RepositoryError, match="key rings that the source doesn't have"):
        copy_repository(vault.host.storage, target)


def test_a_copy_waits_for_nobody_who_removes(vault: Vault, source: Path, target: Any) -> None:
    vault.backup(source)
    with vault.full.lease("exclusive"), pytest.raises(BusyError):
        copy_repository(vault.host.storage, target)
    copy_repository(vault.host.storage, target)
    with Repository(target, [vault.host_key]).lease("exclusive"), pytest.raises(BusyError):
        copy_repository(vault.host.storage, target)


@pytest.fixture
def clocks() -> Iterator[Clocks]:
    found = Clocks()
    with found.rule():
        yield found


def begun(vault: Vault, source: Path, clocks: Clocks) -> tuple[Dated, Dated]:
    """A repository of two backups, and a copy that lacks the last of them."""
    vault.backup(source)
    target = Dated.of(vault, clocks)
    (source / "more").write_bytes(b"more")
    vault.backup(source)
    return Dated.of(vault, clocks), target


def steps(origin: Dated, target: Dated) -> int:
    count = Process()
    copy_repository(View(origin, count), View(target.clone(), count))
    return count.done


def sleeping_copy(origin: Dated, target: Dated, at: int, meanwhile: Callable[[], object]) -> Process:
    def sleep() -> None:
        with target.clocks.asleep():
            meanwhile()

    process = Process(at, sleep)
    try:
        copy_repository(View(origin, process), View(target, process))
    except (RepositoryError, IntegrityError):
        assert process.done >= at
    target.clocks.set()
    return process


def test_a_copy_that_slept_while_its_target_was_pruned_leaves_nothing_that_lacks_something(
    vault: Vault, source: Path, clocks: Clocks
) -> None:
    tight = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, min_fill=100, grace_hours=0)
    origin, pristine = begun(vault, source, clocks)
    taken_back = 0
    for at in range(1, steps(origin, pristine) + 1):
        target = pristine.clone()

        def pruned(target: Dated = target) -> None:
            target.age()
            prune(Repository(target, [vault.recovery_key]), tight, "hive")

        stored = set(sleeping_copy(origin, target, at, pruned).stored)
        taken_back += any(name.startswith("manifests/") for name in stored - target.objects.keys())
        copy = Repository(target, [vault.recovery_key])
        assert copy.names()
        for id, _ in copy.names():
            assert verify(copy, id, "full").ok
        assert {pack_name(pack.hash) for pack in copy.load_table().packs} <= target.objects.keys()
    assert taken_back == 2  # only when it slept after the look at its lease, and before it stored the manifest


def test_a_copy_that_slept_takes_back_only_what_it_was_about_to_put_and_the_next_one_mends_that(
    vault: Vault, source: Path, clocks: Clocks
) -> None:
    origin, pristine = begun(vault, source, clocks)
    lacked = []
    for at in range(1, steps(origin, pristine) + 1):
        target = pristine.clone()

        def others(target: Dated = target) -> None:
            with Repository(target, [vault.host_key]).lease("exclusive"):
                pass
            copy_repository(origin, target)

        sleeping_copy(origin, target, at, others)
        lacking = contents(vault.folder).keys() - target.objects.keys()
        lacked += [name.partition("/")[0] for name in lacking]
        assert copy_repository(origin, target).objects == len(lacking)
        assert contents(vault.folder).items() <= target.objects.items()
    assert lacked == ["indexes", "manifests"]  # when it slept right before it stored them


def test_a_backup_made_while_a_copy_runs_is_copied_whole_or_not_at_all(
    vault: Vault, source: Path, clocks: Clocks
) -> None:
    pristine, target = begun(vault, source, clocks)
    (source / "late").write_bytes(b"late")
    for at in range(1, steps(pristine, target) + 1):
        origin, copy = pristine.clone(), target.clone()

        def backup(origin: Dated = origin) -> None:
            with begin(Repository(origin, [vault.host_key]), "hive", workers=1) as writer:
                writer.add_folder("files", TREE, source, Path("/original"))
                writer.commit(Facts())

        process = Process(at, backup)
        copy_repository(View(origin, process), View(copy, process))
        full = Repository(copy, [vault.recovery_key])
        assert len(full.names()) in (2, 3)
        for id, _ in full.names():
            assert verify(full, id, "full").ok


def test_the_command_copies_to_all_listed_places_or_to_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "propolis.yaml"
    listed = f"copies: [{{url: {tmp_path}/one}}, {{url: {tmp_path}/two}}], host_key"
    config.write_text(CONFIG.format(root=tmp_path).replace("host_key", listed))
    config.chmod(0o600)
    key = str(tmp_path / "recovery.key")
    assert run(["repository", "init", "--recovery-key", key, "--config", str(config)]) == 0
    for extra in ([], ["--to", str(tmp_path / "three")]):
        assert run(["repository", "copy", *extra, "--config", str(config)]) == 0, capsys.readouterr().err
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")
    assert contents(tmp_path / "one") == contents(tmp_path / "vault")
    capsys.readouterr()
    assert run(["repository", "copy", "--to", "s3://unknown/x", "--config", str(config)]) == 10
    assert "repository.copies" in capsys.readouterr().err
