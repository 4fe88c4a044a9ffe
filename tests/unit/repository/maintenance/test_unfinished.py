"""Whoever looks after a repository knows the parts of backups of several hosts, and verdicts."""

import os
from pathlib import Path

import pytest

from propolis.clock import utc_now
from propolis.config.places import KeepConfig, RetentionConfig
from propolis.repository import Facts, Repository
from propolis.repository.maintenance.check import ReadData, check
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.maintenance.prune import prune
from propolis.repository.maintenance.repair import repair
from propolis.repository.records.verdicts import ask, give
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.write.begin import begin
from propolis.repository.write.compose import compose
from unit.repository.prune_tools import age, no_garbage_is_left, remaining, restores
from unit.repository.repository_tools import TREE, Vault

RUN = f"{utc_now():%Y%m%dT%H%M%SZ}-0a1b2c"
NONE = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, min_fill=100)


def part(vault: Vault, source: Path, host: str = "db1", tree: str = TREE) -> str:
    with begin(vault.host, "hive") as writer:
        writer.add_folder("files", tree, source, Path("/original"))
        return writer.finish_part(RUN, host, Facts())


def recorded(vault: Vault, names: list[str], *hosts: str) -> str:
    with vault.host.lease("shared") as lease:
        return compose(vault.host, "hive", RUN, names, hosts, Facts(), lease).id


def young(vault: Vault, name: str) -> None:
    """Make an object one that was just written, by the storage's clock."""
    os.utime(vault.folder / name)


def test_packs_of_an_unfinished_backup_stay_and_it_can_be_finished(vault: Vault, source: Path) -> None:
    """Also those that it only reuses: the backup that they came from is removed meanwhile."""
    first = vault.backup(source).id
    content = restores(source)
    name = part(vault, source)
    (source / "text").write_bytes(os.urandom(50_000))
    second = vault.backup(source).id
    age(vault.folder)
    young(vault, name)
    result = prune(vault.full, NONE, "hive")
    assert result.removed == (first,)
    assert (result.findings, result.packs_removed) == ([], 0)
    assert result.packs_repacked == 0, "every segment is needed"
    id = recorded(vault, [name], "db1")
    assert remaining(vault) == sorted([second, id])
    assert restores(vault.full, id) == content


def test_a_part_whose_run_was_given_up_goes_after_its_grace_time_and_then_its_packs(
    vault: Vault, source: Path
) -> None:
    vault.backup(source)
    (source / "text").write_bytes(os.urandom(50_000))
    name = part(vault, source)
    age(vault.folder)
    result = prune(vault.full, NONE, "hive")
    assert result.others_removed == 1
    assert not (vault.folder / name).exists()
    assert result.packs_removed > 0
    no_garbage_is_left(vault)


def test_a_part_whose_backup_was_recorded_goes_at_once(vault: Vault, source: Path) -> None:
    name = part(vault, source)
    content = restores(source)
    id = recorded(vault, [name], "db1")
    planned = prune(vault.full, NONE, "hive", plan=True)
    assert (planned.others_removed, (vault.folder / name).exists()) == (1, True)
    result = prune(vault.full, NONE, "hive")
    assert (result.others_removed, result.packs_removed) == (1, 0)
    assert vault.objects("parts") == []
    assert restores(vault.full, id) == content


def test_a_damaged_part_is_reported_by_prune_and_check_and_put_aside_by_repair(vault: Vault, source: Path) -> None:
    id = vault.backup(source).id
    name = part(vault, source)
    path = vault.folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert [finding.object for finding in prune(vault.full, NONE, "hive").findings] == [name]
    for keys in ([], [vault.host_key]):
        result = check(FolderStorage(vault.folder), keys, read_data=ReadData())
        assert [finding.object for finding in result.findings] == [name]
        assert not result.findings[0].hits, "no backup is harmed"
    with vault.full.lease("exclusive") as lease:
        mended = repair(vault.full, lease=lease)
    assert (mended.ok, mended.quarantined) == (True, (name,))
    assert remaining(vault) == [id]
    assert check(FolderStorage(vault.folder), [vault.host_key]).ok


def test_check_knows_parts_and_verdicts_and_tells_of_parts(vault: Vault, source: Path) -> None:
    name = part(vault, source)
    give(vault.host, RUN, "keep")
    result = check(FolderStorage(vault.folder), [vault.host_key])
    assert result.ok
    (remark,) = [remark for remark in result.remarks if "parts" in remark]
    assert name in remark
    assert not any("names that this format doesn't know" in remark for remark in result.remarks)
    (vault.folder / "verdicts" / RUN).write_bytes(b"{}")
    (vault.folder / "parts" / "x").write_bytes(b"")
    result = check(FolderStorage(vault.folder), [vault.host_key])
    assert [finding.object for finding in result.findings] == [f"verdicts/{RUN}"]
    assert any("parts/x" in remark for remark in result.remarks)


def test_a_copy_takes_backups_and_not_what_is_under_way(vault: Vault, source: Path, tmp_path: Path) -> None:
    id = recorded(vault, [part(vault, source)], "db1")
    give(vault.host, RUN, "undo")
    copy_repository(FolderStorage(vault.folder), FolderStorage(tmp_path / "copy"))
    copied = Repository(FolderStorage(tmp_path / "copy"), [vault.recovery_key])
    assert restores(copied, id) == restores(source)
    assert not (tmp_path / "copy" / "parts").exists()
    assert not (tmp_path / "copy" / "verdicts").exists()


@pytest.mark.parametrize(("days", "stays"), [(2, True), (300, True), (402, False)])
def test_a_verdict_stays_as_long_as_a_host_may_ask_for_it(vault: Vault, source: Path, days: int, stays: bool) -> None:
    vault.backup(source)
    give(vault.host, RUN, "keep")
    path = vault.folder / "verdicts" / RUN
    when = path.stat().st_mtime_ns - days * 86_400 * 10**9
    os.utime(path, ns=(when, when))
    prune(vault.full, NONE, "hive")
    assert ask(vault.host, RUN) == ("keep" if stays else None)
