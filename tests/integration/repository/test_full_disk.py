"""A repository on a full disk can be pruned: the reserve that it has kept from the first day is given up for that."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.clone.filesystems import mounted, run
from integration.repository.test_unwritable import TREE, Host, fill, read_only
from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import RepositoryError
from propolis.repository import Repository, restore_folder
from propolis.repository.maintenance.prune import prune
from propolis.repository.storage import reserve
from propolis.repository.storage.base import NoRoomError
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.storage.kinds import RESERVE
from unit.repository.prune_tools import Dying, Killed, expire_leases

RULES = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, grace_hours=0)


@pytest.fixture(params=["ext4", "tmpfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "ext4":
        with mounted("ext4", tmp_path, 64) as point:
            yield point
        return
    point = tmp_path / "tmpfs"
    point.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(point))
    try:
        yield point
    finally:
        run("umount", str(point))


@pytest.fixture
def host(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    found = Host(tmp_path, disk / "vault", capsys)
    assert reserve.keep(found.opened.storage) == ""
    return found


def kept(host: Host) -> int:
    path = host.repository / RESERVE
    return path.stat().st_blocks * 512 if path.exists() else 0


def restores(host: Host, out: Path) -> None:
    full = Repository(FolderStorage(host.repository), [host.recovery])
    newest = full.latest()
    assert newest is not None
    restore_folder(full, full.manifest(newest), TREE, out)
    assert (out / "data").read_bytes() == (host.folder / "source" / "data").read_bytes()


def test_a_full_repository_is_pruned_and_has_its_reserve_again(host: Host, disk: Path, tmp_path: Path) -> None:
    for _ in range(2):
        host.backup(8 << 20)
    assert kept(host) >= reserve.LEAST
    fill(disk)
    with pytest.raises(NoRoomError, match="No space left"):
        host.backup(8 << 20)
    code, out, err = host("repository", "prune", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert len(result["removed"]) == 1
    assert result["packs_removed"] >= 1
    assert "used the repository's reserve" in result["remarks"][0]
    assert len(host.opened.names()) == 1
    (disk / "filler").unlink()
    assert host("repository", "prune")[0] == 0
    assert kept(host) >= reserve.LEAST
    code, _, err = host("repository", "check", "--read-data")
    assert code == 0, err


def test_a_full_repository_without_its_reserve_says_what_to_do(host: Host, disk: Path) -> None:
    host.backup(8 << 20)
    (host.repository / RESERVE).unlink()
    fill(disk)
    code, _, err = host("repository", "prune")
    assert (code, "No space left" in err, "free some space" in err) == (13, True, True)
    checks = {item["name"]: item for item in json.loads(host("doctor", "--json")[1])}
    assert checks["repository writable"]["result"] == "fail"
    assert checks["backups"]["result"] == "ok"


def test_a_prune_killed_while_the_reserve_is_given_up_loses_nothing_and_can_be_repeated(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host(tmp_path, disk / "vault", capsys)
    for after in range(1, 14):
        while len(host.opened.names()) < 2:
            host.backup(2 << 20)
        assert reserve.keep(host.opened.storage) == ""
        fill(disk)

        class Kill(Dying):
            def allocate(self, name: str, size: int) -> None:
                if self.dead:
                    raise Killed
                super().allocate(name, size)

        dying = Kill(host.repository, after)
        try:
            prune(Repository(dying, host.opened.keys), RULES, "thehive")
        except Killed:
            assert kept(host) == 0 or after == 1  # right before it is given up
        expire_leases(host.repository)
        again = prune(host.opened, RULES, "thehive")
        assert again.findings == []
        assert len(host.opened.names()) == 1
        restores(host, tmp_path / f"out-{after}")
        (disk / "filler").unlink()
        assert reserve.keep(host.opened.storage) == ""
        assert kept(host) >= reserve.LEAST


def test_the_reserve_is_made_by_init_and_where_it_is_missing_by_the_next_prune(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host(tmp_path, tmp_path / "vault", capsys)
    host.backup(1000)
    assert kept(host) == 0
    assert host("repository", "prune")[0] == 0
    assert kept(host) >= reserve.LEAST
    assert (host.repository / RESERVE).stat().st_mode & 0o777 == 0o600
    code, out, _ = host("repository", "check")
    assert (code, "note" in out) == (0, False)


def test_a_read_only_repository_is_not_taken_for_a_full_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host(tmp_path, tmp_path / "vault", capsys)
    host.backup(1000)
    reserve.keep(host.opened.storage)
    with read_only(host.repository), pytest.raises(RepositoryError, match="Read-only"):
        prune(host.opened, RULES, "thehive")
    assert kept(host) >= reserve.LEAST
