"""Prune removes what no backup needs and nothing else."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import BusyError, IntegrityError, RepositoryError
from propolis.repository import BackupId, Facts, Repository, verify
from propolis.repository.format.names import pack_name
from propolis.repository.format.table import PackContents
from propolis.repository.maintenance.prune import prune
from propolis.repository.maintenance.repack import Repacker
from propolis.repository.maintenance.usage import Indexes
from propolis.repository.model import Stats
from propolis.repository.read.packs import PackOpener
from propolis.repository.records.marks import add_hold, read_marks, record_verification, release_holds
from propolis.repository.write.begin import begin
from propolis.repository.write.packing import PackMaker
from unit.repository.prune_tools import (
    Clocks,
    Dated,
    Dying,
    Forgetful,
    Killed,
    Process,
    View,
    age,
    expire_leases,
    no_garbage_is_left,
    remaining,
    restores,
)
from unit.repository.repository_tools import TREE, Vault, pack_of

History = list[tuple[BackupId, str]]

LAST = RetentionConfig(keep=KeepConfig(last=1), min_verified=0)
TIGHT = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, min_fill=100, grace_hours=0)


def words(size: int) -> bytes:
    """What can be compressed, so that it is kept in packs of its own."""
    return os.urandom(size // 2).hex().encode()


@pytest.fixture
def history(vault: Vault, source: Path, tmp_path: Path) -> History:
    """Three backups, each with things of its own; and what each of them should restore."""
    made = []
    (source / "prose").write_bytes(words(40_000))
    for number in range(3):
        (source / "text").write_bytes(os.urandom(60_000))
        (source / "words").write_bytes(words(50_000))
        (source / "deep" / "large").write_bytes(os.urandom((1 << 20) + number))
        (source / "deep" / "er" / f"{number:03}").unlink()
        (source / f"new {number}").write_bytes(os.urandom(20_000))
        made.append((vault.backup(source).id, restores(source)))
    age(vault.folder)
    return made


def test_prune_removes_backups_by_the_rules_and_what_only_they_needed(vault: Vault, history: History) -> None:
    before = len(vault.objects("packs"))
    planned = prune(vault.host, LAST, "hive", plan=True)
    assert remaining(vault) == [id for id, _ in history]
    assert len(vault.objects("packs")) == before
    result = prune(vault.host, LAST, "hive")
    assert result.removed == planned.removed == tuple(id for id, _ in history[:2])
    assert (result.packs_removed, result.bytes_removed) == (planned.packs_removed, planned.bytes_removed)
    assert result.packs_removed > 0
    assert len(vault.objects("packs")) == before - result.packs_removed
    assert remaining(vault) == [history[2][0]]
    assert not result.findings
    assert restores(vault, history[2][0]) == history[2][1]
    assert vault.objects("locks") == []


def test_without_the_recovery_key_sparse_packs_stay_and_with_it_they_are_repacked(
    vault: Vault, history: History
) -> None:
    first = prune(vault.host, TIGHT, "hive")
    assert first.packs_sparse > 0
    assert first.packs_repacked == 0
    planned = prune(vault.full, TIGHT, "hive", plan=True)
    before = {pack.hash: pack.codec for pack in vault.full.load_table().packs}
    second = prune(vault.full, TIGHT, "hive")
    after = {pack.hash for pack in vault.full.load_table().packs}
    assert {codec for digest, codec in before.items() if digest not in after} == {"plain", "zstd"}
    assert second.packs_repacked == planned.packs_repacked == first.packs_sparse
    assert second.bytes_freed == planned.bytes_freed > 0
    assert restores(vault, history[2][0]) == history[2][1]
    no_garbage_is_left(vault)
    again = prune(vault.full, TIGHT, "hive")
    assert (again.packs_removed, again.packs_repacked, again.indexes_rewritten) == (0, 0, 0)


def test_what_prune_left_is_used_by_the_next_backup(vault: Vault, source: Path, history: History) -> None:
    prune(vault.full, TIGHT, "hive")
    vault.backup(source, parent=None)
    assert vault.stats.new == 0


def test_backups_of_other_stacks_stay_whatever_the_rules(vault: Vault, history: History, source: Path) -> None:
    (source / "of the other").write_bytes(os.urandom(30_000))
    content = restores(source)
    with begin(vault.host, "other", parent=None) as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        other = writer.commit(Facts()).id
    result = prune(vault.host, LAST, "hive")
    assert result.removed == tuple(id for id, _ in history[:2])
    assert remaining(vault) == [history[2][0], other]
    assert "other" in next(d.reasons[0] for d in result.decisions if d.id == other)
    assert prune(vault.host, LAST, "third").removed == ()
    age(vault.folder)
    for rules, key in ((LAST, vault.host), (TIGHT, vault.full)):
        prune(key, rules, "hive")
        assert restores(vault, other) == content


def test_a_held_backup_stays_until_it_is_released(vault: Vault, history: History) -> None:
    hold = add_hold(vault.host, history[0][0], "trial")
    assert [h.reason for h in read_marks(vault.full).holds[history[0][0]].values()] == [hold.reason] == ["trial"]
    assert prune(vault.host, LAST, "hive").removed == (history[1][0],)
    assert restores(vault, history[0][0]) == history[0][1]
    assert release_holds(vault.host, history[0][0]) == 1
    assert prune(vault.host, LAST, "hive").removed == (history[0][0],)
    with pytest.raises(RepositoryError, match="no backup"):
        add_hold(vault.host, history[0][0], "too late")


def test_a_hold_that_cannot_be_read_still_holds_and_is_reported(vault: Vault, history: History) -> None:
    add_hold(vault.host, history[0][0], "trial")
    (mark,) = vault.objects("holds")
    data = bytearray(mark.read_bytes())
    data[-1] ^= 1
    mark.write_bytes(data)
    result = prune(vault.host, LAST, "hive")
    assert result.removed == (history[1][0],)
    assert [finding.object for finding in result.findings] == [f"holds/{mark.name}"]


def test_a_hold_copied_to_another_backup_or_repository_is_not_believed(vault: Vault, history: History) -> None:
    add_hold(vault.host, history[0][0], "trial")
    (mark,) = vault.objects("holds")
    mark.rename(mark.with_name(mark.name.replace(history[0][0], history[1][0])))
    marks = read_marks(vault.host)
    assert marks.holds == {}
    assert list(marks.damaged) == [history[1][0]]


def test_the_last_verified_backup_stays_and_superseded_results_go(vault: Vault, history: History) -> None:
    rules = RetentionConfig(keep=KeepConfig(last=1), min_verified=1)
    for id, level in ((history[0][0], "sample"), (history[1][0], "sample"), (history[1][0], "full")):
        assert record_verification(vault.host, verify(vault.full, id, level)) is not None  # type: ignore[arg-type]
    assert record_verification(vault.host, verify(vault.full, history[2][0], "manifest")) is None
    result = prune(vault.host, rules, "hive")
    assert result.removed == (history[0][0],)
    assert result.others_removed == len(vault.objects("verified")) + 1 == 2
    mark = read_marks(vault.host).standing(history[1][0])
    assert mark is not None
    assert (mark.level, mark.ok, mark.decrypted) == ("full", True, True)


def test_a_verification_that_cannot_be_read_keeps_its_backup_until_all_is_verified_again(
    vault: Vault, history: History
) -> None:
    record_verification(vault.host, verify(vault.host, history[0][0], "full"))
    (mark,) = vault.objects("verified")
    mark.write_bytes(mark.read_bytes()[:-1])
    assert prune(vault.host, LAST, "hive").removed == (history[1][0],)
    record_verification(vault.host, verify(vault.host, history[0][0], "full"))
    assert prune(vault.host, LAST, "hive", plan=True).findings  # both within the clocks' tolerance
    os.utime(mark, (0, 0))
    result = prune(vault.host, LAST, "hive")
    assert not result.findings
    assert result.removed == (history[0][0],)
    assert vault.objects("verified") == []


def test_a_backup_that_failed_verification_takes_no_good_ones_place(vault: Vault, history: History) -> None:
    manifest = vault.host.manifest(history[2][0])
    table = vault.host.load_table()
    needed = {pack_of(table, s.decode()) for e in manifest.entries() for s in e.segments.split(b",") if s}
    older = {
        pack_of(table, s.decode())
        for e in vault.host.manifest(history[1][0]).entries()
        for s in e.segments.split(b",")
        if s
    }
    only = table.packs[(needed - older).pop()]
    pack = vault.folder / "packs" / only.hash[:2] / only.hash
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(data)
    age(vault.folder)
    found = verify(vault.host, history[2][0], "full")
    assert not found.ok
    record_verification(vault.host, found)
    result = prune(vault.host, LAST, "hive")
    assert result.removed == (history[0][0],)
    assert restores(vault, history[1][0]) == history[1][1]


def test_data_of_a_killed_backup_stays_for_a_while_and_then_goes(
    vault: Vault, source: Path, history: History
) -> None:
    (source / "more").write_bytes(os.urandom(700_000))
    host = Repository(Dying(vault.folder, 3), [vault.host_key])
    with pytest.raises(BaseException), begin(host, "hive") as writer:  # noqa: B017 - whatever a kill causes
        writer.add_folder("files", TREE, source, Path("/original"))
        writer.commit(Facts())
    before = vault.objects("packs")
    with pytest.raises(BusyError, match="in use by process"):
        prune(vault.host, LAST, "hive")
    expire_leases(vault.folder)
    (vault.folder / "tmp").mkdir(mode=0o700, exist_ok=True)
    (vault.folder / "tmp" / "half").write_bytes(b"half an object")
    keep_all = RetentionConfig()
    result = prune(vault.host, keep_all, "hive")
    assert result.packs_young > 0
    assert vault.objects("packs") == before
    age(vault.folder)
    assert prune(vault.host, keep_all, "hive").packs_removed == result.packs_young
    assert vault.objects("tmp") == []
    for id, content in history:
        assert restores(vault, id) == content


def test_nothing_is_removed_while_a_backup_that_stays_or_an_index_is_damaged(vault: Vault, history: History) -> None:
    for folder, keeps in (("manifests", -1), ("indexes", 0)):
        victim = vault.objects(folder)[keeps]
        data = victim.read_bytes()
        victim.write_bytes(data[:-20] + bytes(20))
        before = vault.objects(".")
        with pytest.raises(IntegrityError):
            prune(vault.full, TIGHT, "hive")
        assert vault.objects(".") == before
        victim.write_bytes(data)
        age(vault.folder)
    assert prune(vault.full, TIGHT, "hive").removed


def test_packs_no_index_knows_stay_while_a_backup_lacks_segments(vault: Vault, history: History) -> None:
    lost = vault.objects("indexes")[0]
    data = lost.read_bytes()
    lost.unlink()
    for rules in (LAST, TIGHT):
        result = prune(vault.full, rules, "hive")
        assert result.findings
        assert "no index knows" in result.findings[0].what
    lost.write_bytes(data)
    assert restores(vault, history[2][0]) == history[2][1]


def test_a_missing_pack_is_reported_and_the_rest_is_pruned(vault: Vault, history: History) -> None:
    table = vault.host.load_table()
    entry = next(e for e in vault.host.manifest(history[2][0]).entries() if e.path == b"deep/exact")
    pack = table.packs[pack_of(table, entry.segments.decode())]
    path = vault.folder / "packs" / pack.hash[:2] / pack.hash
    data = path.read_bytes()
    path.unlink()
    result = prune(vault.full, TIGHT, "hive")
    assert "missing or cut short" in result.findings[0].what
    assert result.removed
    path.write_bytes(data)
    assert restores(vault, history[2][0]) == history[2][1]


def test_a_damaged_pack_is_not_repacked_but_left_and_reported(vault: Vault, history: History) -> None:
    prune(vault.host, TIGHT, "hive")
    sparse = prune(vault.full, TIGHT, "hive", plan=True).packs_repacked
    for path in vault.objects("packs"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    age(vault.folder)
    before = vault.objects("packs")
    result = prune(vault.full, TIGHT, "hive")
    assert len(result.findings) == sparse
    assert result.packs_repacked == 0
    assert vault.objects("packs") == before


@pytest.mark.parametrize("wrong", ["index", "bytes"])
def test_what_is_not_as_it_was_stored_is_not_repacked(vault: Vault, history: History, wrong: str) -> None:
    table = vault.full.load_table()
    number, pack = max(enumerate(table.packs), key=lambda numbered: numbered[1].plain)
    segments = PackContents(table).of(number)
    if wrong == "index":
        segments = [(bytes(32), offset, length) for _, offset, length in segments]
    else:  # the same content, stored another time: whole, but not what the name promises
        opener, elsewhere = PackOpener(vault.full.storage, vault.full.identities, Stats()), Dated()
        plain = opener.open(pack)
        maker = PackMaker(elsewhere, vault.full.ring.pack_recipients(), pack.plain)
        twin = maker.store(plain, segments, pack.codec).pack
        assert twin.stored == pack.stored
        vault.full.storage.put(pack_name(pack.hash), elsewhere.objects[pack_name(twin.hash)])
    repacker = Repacker(vault.full)
    assert not repacker.move(pack, segments)
    assert [finding.object for finding in repacker.findings] == [pack_name(pack.hash)]
    assert repacker.finish() == []


@pytest.mark.parametrize("keeps", [0, 100])
def test_an_index_that_the_storage_loses_costs_no_backup(vault: Vault, history: History, keeps: int) -> None:
    whole = Dated.of(vault, Clocks())
    storage = Forgetful(whole.objects)
    storage.forgets, storage.keeps = "indexes/", keeps
    storage.age()
    with pytest.raises(IntegrityError, match="as it was stored"):
        prune(Repository(storage, [vault.recovery_key]), TIGHT, "hive")
    assert whole.names("packs", "indexes") <= storage.objects.keys()


def test_many_small_indexes_are_merged(vault: Vault, source: Path, tmp_path: Path) -> None:
    for number in range(20):
        (source / "text").write_bytes(b"%d" % number * 50)
        last = vault.backup(source)
    prune(vault.host, RetentionConfig(), "hive")
    assert len(vault.objects("indexes")) == 1
    assert verify(vault.full, last.id, "full").ok


def test_prune_and_backup_keep_out_of_each_others_way(vault: Vault, source: Path, history: History) -> None:
    with begin(vault.host, "hive"), pytest.raises(BusyError, match=r"process \d+ on .* \(shared\)"):
        prune(vault.host, LAST, "hive")
    with vault.host.lease("exclusive"), pytest.raises(BusyError, match="exclusive"):
        vault.backup(source)
    with vault.host.lease("exclusive"), pytest.raises(BusyError, match="exclusive"):
        add_hold(vault.host, history[0][0], "")
    assert remaining(vault) == [id for id, _ in history]


def test_a_backup_that_slept_while_a_prune_went_by_is_refused(vault: Vault, source: Path, history: History) -> None:
    (source / "late").write_bytes(os.urandom(100_000))
    with pytest.raises(RepositoryError, match="ran out"), begin(vault.host, "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        writer._hand_out()
        writer._intake.finish()
        expire_leases(vault.folder)
        prune(vault.full, TIGHT, "hive")
        writer.commit(Facts())
    assert remaining(vault) == [history[2][0]]
    age(vault.folder)
    prune(vault.full, TIGHT, "hive")
    no_garbage_is_left(vault)


def test_a_prune_that_slept_at_any_operation_while_backups_went_by_costs_them_nothing(
    vault: Vault, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    contents: dict[BackupId, str] = {}
    for number in range(3):
        (small / f"new {number}").write_bytes(os.urandom(3000))
        (small / f"new {number - 1}").unlink(missing_ok=True)
        contents[vault.backup(small).id] = restores(small)
    # What only the oldest backup has, so what prune is about to remove, is back.
    shutil.copy(small / "new 2", small / "new 0")
    vault.restore(vault.full.summary(min(contents)), tmp_path / "oldest")
    shutil.copy(tmp_path / "oldest" / "new 0", small / "new 0")
    again = restores(small)
    age(vault.folder)
    clocks, count = Clocks(), Process()
    pristine = Dated.of(vault, clocks)
    prune(Repository(View(pristine.clone(), count), [vault.recovery_key]), TIGHT, "hive")
    assert count.done > 30
    with clocks.rule():
        for at in range(1, count.done + 1):
            storage = pristine.clone()
            held: list[str] = []

            def others(storage: Dated = storage, held: list[str] = held) -> None:
                with clocks.asleep():
                    host = Repository(storage, [vault.host_key])
                    with begin(host, "hive") as writer:
                        writer.add_folder("files", TREE, small, Path("/original"))
                        writer.commit(Facts())
                    add_hold(host, host.names()[0][0], "because")
                    held.append(host.names()[0][0])

            with contextlib.suppress(RepositoryError):
                prune(Repository(View(storage, Process(at, others)), [vault.recovery_key]), TIGHT, "hive")
            clocks.set()
            full = Repository(storage, [vault.recovery_key])
            there = [id for id, _ in full.names()]
            assert set(held) <= set(there)
            for id in there:
                assert verify(full, id, "full").ok
                assert restores(full, id) == contents.get(id, again)


def test_a_backup_that_slept_at_any_operation_while_prunes_went_by_costs_nothing(
    vault: Vault, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    (small / "first").write_bytes(os.urandom(3000))
    contents = {restores(small)}
    vault.backup(small)
    clocks, count = Clocks(), Process()
    pristine = Dated.of(vault, clocks)
    (small / "second").write_bytes(os.urandom(3000))
    contents.add(restores(small))

    def backup(storage: Any) -> None:
        with begin(Repository(storage, [vault.host_key]), "hive", workers=1) as writer:
            writer.add_folder("files", TREE, small, Path("/original"))
            writer.commit(Facts())

    backup(View(pristine.clone(), count))
    taken_back = 0
    with clocks.rule():
        for at in range(1, count.done + 1):
            storage = pristine.clone()

            def others(storage: Dated = storage) -> None:
                with clocks.asleep():
                    storage.age()
                    prune(Repository(storage, [vault.recovery_key]), TIGHT, "hive")

            process = Process(at, others)
            with contextlib.suppress(RepositoryError):
                backup(View(storage, process))
            clocks.set()
            taken_back += any(name.startswith("manifests/") for name in set(process.stored) - storage.objects.keys())
            full = Repository(storage, [vault.recovery_key])
            # When it slept right after its manifest, the prune saw that and kept nothing else.
            assert full.names()
            for id, _ in full.names():
                assert verify(full, id, "full").ok
                assert restores(full, id) in contents
            assert {pack.hash for pack in full.load_table().packs} <= {name[-64:] for name in storage.names("packs")}
    assert taken_back == 1  # only when it slept after the look at its lease, right before it stored the manifest


def test_a_prune_that_slept_at_any_operation_while_another_went_by_leaves_no_index_of_what_is_gone(
    vault: Vault, history: History
) -> None:
    two = RetentionConfig(keep=KeepConfig(last=2), min_verified=0, min_fill=100, grace_hours=0)
    clocks, count = Clocks(), Process()
    pristine = Dated.of(vault, clocks)
    prune(Repository(View(pristine.clone(), count), [vault.recovery_key]), two, "hive")
    with clocks.rule():
        for at in range(1, count.done + 1):
            storage = pristine.clone()

            def others(storage: Dated = storage) -> None:
                with clocks.asleep():
                    storage.age()
                    prune(Repository(storage, [vault.recovery_key]), TIGHT, "hive")

            with contextlib.suppress(RepositoryError, IntegrityError):
                prune(Repository(View(storage, Process(at, others)), [vault.recovery_key]), two, "hive")
            clocks.set()
            full = Repository(storage, [vault.recovery_key])
            assert [id for id, _ in full.names()] == [history[2][0]]
            assert restores(full, history[2][0]) == history[2][1]
            assert {pack.hash for pack in full.load_table().packs} <= {name[-64:] for name in storage.names("packs")}


def test_a_hold_that_slept_at_any_operation_says_so_or_holds(vault: Vault, history: History) -> None:
    oldest, clocks, count = history[0][0], Clocks(), Process()
    pristine = Dated.of(vault, clocks)
    add_hold(Repository(View(pristine.clone(), count), [vault.host_key]), oldest, "because")
    with clocks.rule():
        for at in range(1, count.done + 1):
            storage, held = pristine.clone(), False

            def others(storage: Dated = storage) -> None:
                with clocks.asleep():
                    prune(Repository(storage, [vault.host_key]), LAST, "hive")

            with contextlib.suppress(RepositoryError):
                add_hold(Repository(View(storage, Process(at, others)), [vault.host_key]), oldest, "because")
                held = True
            clocks.set()
            assert not held or oldest in [id for id, _ in Repository(storage, []).names()]


def test_killed_at_any_operation_prune_loses_nothing_and_the_next_one_finishes(
    vault: Vault, source: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    keep = os.urandom(3000)
    made = []
    for number in range(3):
        (small / "kept").write_bytes(keep)
        (small / f"new {number}").write_bytes(os.urandom(3000))
        (small / f"new {number - 1}").unlink(missing_ok=True)
        made.append((vault.backup(small).id, restores(small)))
    record_verification(vault.host, verify(vault.host, made[0][0], "full"))
    age(vault.folder)
    pristine = tmp_path / "pristine"
    vault.folder.rename(pristine)
    count = 0
    while True:
        count += 1
        shutil.rmtree(vault.folder, ignore_errors=True)
        shutil.copytree(pristine, vault.folder)
        dying = Dying(vault.folder, count)
        repository = Repository(dying, [vault.recovery_key])
        with contextlib.suppress(Killed):
            prune(repository, TIGHT, "hive")
        for id, content in made:
            if id in remaining(vault):
                assert restores(vault, id) == content
        assert made[2][0] in remaining(vault)
        # Whoever backs up next relies on the indexes: they must name nothing that is gone.
        stored = {path.name for path in vault.objects("packs")}
        assert {pack.hash for pack in vault.host.load_table().packs} <= stored
        expire_leases(vault.folder)
        age(vault.folder)
        prune(Repository.open(vault.location, [vault.recovery_key]), TIGHT, "hive")
        age(vault.folder)
        assert remaining(vault) == [made[2][0]]
        assert restores(vault, made[2][0]) == made[2][1]
        no_garbage_is_left(vault)
        if not dying.dead:
            break
    assert count > 10


def test_what_goes_while_a_prune_sleeps_beyond_its_lease_is_no_damage(
    vault: Vault, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Indexes.load

    def sleep(indexes: Indexes) -> Any:
        loaded = load(indexes)
        for lease in vault.objects("locks"):
            (vault.folder / lease).unlink()
        (vault.folder / vault.objects("packs")[0]).unlink()
        return loaded

    monkeypatch.setattr(Indexes, "load", sleep)
    with pytest.raises(RepositoryError, match="ran out"):
        prune(vault.host, RetentionConfig(keep=KeepConfig(last=3), min_verified=0), "hive")
