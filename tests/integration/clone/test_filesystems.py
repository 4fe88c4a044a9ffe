"""Clones on real file systems: XFS and btrfs share blocks, ext4 links, full disks and mounts are refused clearly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.clone.filesystems import bound, mounted, run
from propolis.clone import Method, clone, drop, lookalikes, place, probe, settle
from propolis.errors import PreflightError
from unit.clone.trees import content

SIZE = {"xfs": 320, "btrfs": 256, "ext4": 64}


def never(path: str) -> bool:
    return False


def always(path: str) -> bool:
    return True


@pytest.fixture(params=["xfs", "btrfs"])
def sharing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with mounted(request.param, tmp_path, SIZE[request.param]) as point:
        yield point


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    with mounted("ext4", tmp_path, SIZE["ext4"]) as point:
        yield point


def fill(folder: Path) -> None:
    (folder / "nodes" / "empty").mkdir(parents=True)
    for i in range(50):
        (folder / "nodes" / f"segment{i}").write_bytes(os.urandom(100_000 + i))
    (folder / "nodes" / "none").touch()
    (folder / "nodes" / "link").symlink_to("/etc/passwd")
    os.chown(folder / "nodes", 1234, 4321)
    os.utime(folder / "nodes", ns=(10**18, 10**18 + 1))
    settle(folder)


def used(folder: Path) -> int:
    os.sync()
    space = os.statvfs(folder)
    return (space.f_blocks - space.f_bfree) * space.f_frsize


def test_a_reflink_is_found_by_trial_and_takes_no_space(sharing: Path) -> None:
    data = sharing / "data"
    fill(data)
    assert probe(data) is Method.REFLINK
    before = used(data)
    report = clone(data, place(data, "r1"), never)
    assert report.method is Method.REFLINK
    assert content(report.clone) == content(data)
    assert report.bytes_shared > 5_000_000
    assert report.bytes_copied == 0
    assert used(data) - before < 1_000_000


def test_a_reflinked_clone_is_independent_even_of_files_rewritten_in_place(sharing: Path) -> None:
    data = sharing / "data"
    fill(data)
    before = content(data)
    report = clone(data, place(data, "r1"), always)
    for path in data.rglob("segment*"):
        with path.open("r+b") as file:
            file.write(b"overwritten")
    after = content(report.clone)
    assert after == before
    drop(report.clone)
    assert lookalikes([data]) == []


def test_a_reflinked_files_original_inode_is_known(sharing: Path) -> None:
    data = sharing / "data"
    fill(data)
    report = clone(data, place(data, "r1"), never)
    for path in data.rglob("segment*"):
        name = str(path.relative_to(data))
        assert report.inode_of(name) == path.stat().st_ino
        assert (report.clone / name).stat().st_ino != path.stat().st_ino


def test_on_btrfs_a_file_without_copy_on_write_is_linked_or_copied_instead(tmp_path: Path) -> None:
    with mounted("btrfs", tmp_path, SIZE["btrfs"]) as point:
        data = point / "data"
        (data / "plain").mkdir(parents=True)
        (data / "plain" / "log").touch()
        (data / "plain" / "segment").touch()
        run("chattr", "+C", str(data / "plain" / "log"), str(data / "plain" / "segment"))
        (data / "plain" / "log").write_bytes(b"l" * 10_000)
        (data / "plain" / "segment").write_bytes(b"s" * 20_000)
        report = clone(data, place(data, "r1"), lambda path: path == "plain/segment")
        assert report.method is Method.REFLINK
        assert content(report.clone) == content(data)
        assert (report.bytes_shared, report.bytes_copied) == (20_000, 10_000)
        assert (report.clone / "plain" / "segment").samefile(data / "plain" / "segment")


def test_on_btrfs_a_subvolume_holds_its_clones_itself_and_shares(tmp_path: Path) -> None:
    with mounted("btrfs", tmp_path, SIZE["btrfs"]) as point:
        run("btrfs", "subvolume", "create", str(point / "data"))
        fill(point / "data")
        where = place(point / "data", "r1")
        assert where == point / "data" / ".propolis-r1"
        report = clone(point / "data", where, never)
        assert (report.method, report.bytes_copied) == (Method.REFLINK, 0)
        assert lookalikes([point / "data"]) == [where]


def test_on_btrfs_a_subvolume_inside_the_folder_is_refused(tmp_path: Path) -> None:
    with mounted("btrfs", tmp_path, SIZE["btrfs"]) as point:
        data = point / "data"
        fill(data)
        run("btrfs", "subvolume", "create", str(data / "nodes" / "inner"))
        with pytest.raises(PreflightError, match="nodes/inner is a separate filesystem or subvolume"):
            clone(data, place(data, "r1"), never)
        assert sorted(path.name for path in point.iterdir()) == ["data"]


def test_ext4_links_and_the_clone_survives_deletion_of_the_original(ext4: Path) -> None:
    data = ext4 / "data"
    fill(data)
    before = content(data)
    assert probe(data) is Method.HARDLINK
    report = clone(data, place(data, "r1"), always)
    assert report.bytes_copied == 0
    for path in list(data.rglob("segment*")):
        path.unlink()
    assert content(report.clone) == before


def test_an_immutable_attribute_does_not_stop_a_clone(ext4: Path) -> None:
    data = ext4 / "data"
    fill(data)
    held = data / "nodes" / "segment7"
    run("chattr", "+i", str(held))
    try:
        report = clone(data, place(data, "r1"), always)
        assert content(report.clone) == content(data)
        assert report.bytes_copied == held.stat().st_size
        drop(report.clone)
    finally:
        run("chattr", "-i", str(held))


@pytest.mark.parametrize("count", [1, 400])
def test_a_full_disk_is_a_clear_error_and_leaves_no_half_clone(ext4: Path, count: int) -> None:
    data = ext4 / "data"
    data.mkdir()
    for i in range(count):
        (data / f"file{i}").write_bytes(os.urandom(40_000_000 // count))
    before = content(data)
    with pytest.raises(PreflightError, match="full") as caught:
        clone(data, place(data, "r1"), never, Method.COPY)
    assert caught.value.exit_code == 12
    assert "was not changed" in caught.value.left
    assert content(data) == before
    assert [path.name for path in ext4.iterdir() if path.name != "lost+found"] == ["data"]


def test_a_file_system_without_a_free_inode_is_a_clear_error(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path, 64) as point:
        data = point / "data"
        data.mkdir()
        free = os.statvfs(point).f_favail
        for i in range(free * 2 // 3):
            (data / f"file{i}").touch()
        with pytest.raises(PreflightError, match="full"):
            clone(data, place(data, "r1"), never, Method.COPY)
        assert lookalikes([data]) == []


def test_a_full_disk_is_told_by_the_probe(ext4: Path) -> None:
    (ext4 / "data").mkdir()
    with (ext4 / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
        while True:
            ballast.write(b"x" * 4096)
    with pytest.raises(PreflightError, match="No space left"):
        probe(ext4 / "data")
    assert lookalikes([ext4 / "data"]) == []


def test_a_mount_point_holds_its_clones_itself(ext4: Path) -> None:
    fill(ext4 / "x")
    where = place(ext4, "r1")
    assert where == ext4 / ".propolis-r1"
    report = clone(ext4, where, always)
    assert report.method is Method.HARDLINK
    assert report.bytes_copied == 0
    assert report.files == 52
    assert lookalikes([ext4]) == [where]
    drop(where)


def test_a_bind_mount_of_the_same_file_system_holds_its_clones_itself(ext4: Path) -> None:
    fill(ext4 / "disk")
    (ext4 / "data").mkdir()
    with bound(ext4 / "disk", ext4 / "data"):
        where = place(ext4 / "data", "r1")
        assert where == ext4 / "data" / ".propolis-r1"
        assert clone(ext4 / "data", where, always).bytes_copied == 0
        drop(where)


@pytest.mark.parametrize("same", [True, False])
def test_anything_mounted_below_the_folder_is_refused(ext4: Path, tmp_path: Path, same: bool) -> None:
    data = ext4 / "data"
    (data / "a mount").mkdir(parents=True)
    other = (ext4 if same else tmp_path) / "other"
    other.mkdir()
    with bound(other, data / "a mount"), pytest.raises(PreflightError, match=r"a mount is a separate filesystem"):
        clone(data, place(data, "r1"), always)
    assert lookalikes([data]) == []


def test_a_clone_with_something_mounted_below_is_not_dropped(ext4: Path, tmp_path: Path) -> None:
    inner = ext4 / ".propolis-r1-data" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    with bound(tmp_path / "precious", inner), pytest.raises(PreflightError, match="mounted below"):
        drop(inner.parent)
    assert (tmp_path / "precious" / "file").exists()


def test_a_read_only_file_system_is_a_clear_error(ext4: Path) -> None:
    fill(ext4 / "data")
    run("mount", "-o", "remount,ro", str(ext4))
    with pytest.raises(PreflightError, match="Read-only"):
        probe(ext4 / "data")


KILLED = """
import os, signal, sys
from pathlib import Path
from propolis.clone import Method, clone, transfer

real, left = transfer.copy, [20]
def copy(*arguments, **named):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **named)
transfer.copy = copy
clone(Path(sys.argv[1]), Path(sys.argv[2]), lambda path: False, Method.COPY)
"""


def test_a_killed_clone_is_found_and_dropped(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fill(data)
    before = content(data)
    where = place(data, "r1")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(data), str(where)], check=False)
    assert killed.returncode == -9
    assert 0 < len(list(where.rglob("segment*"))) < 50
    assert lookalikes([data]) == [where]
    drop(where)
    assert content(data) == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


LIST = bytes.fromhex("0200000001000700ffffffff02000400d204000004000500ffffffff10000500ffffffff20000000ffffffff")


def test_shared_files_keep_attributes_access_lists_hard_links_and_holes(sharing: Path) -> None:
    data = sharing / "data"
    (data / "sub").mkdir(parents=True)
    (data / "file").write_bytes(b"x" * 100_000)
    os.setxattr(data / "file", "user.note", b"kept")
    os.setxattr(data / "file", "system.posix_acl_access", LIST)
    os.setxattr(data / "sub", "system.posix_acl_default", LIST)
    os.link(data / "file", data / "sub" / "again")
    with (data / "sparse").open("wb") as file:
        file.seek(4 << 20)
        file.write(b"y" * 5000)
        file.truncate(1 << 30)
    report = clone(data, place(data, "r1"), never, Method.REFLINK)
    for name in ("file", "sub", "sub/again"):
        there, here = report.clone / name, data / name
        assert {key: os.getxattr(there, key) for key in os.listxattr(there)} == {
            key: os.getxattr(here, key) for key in os.listxattr(here)
        }
        assert there.stat().st_mode == here.stat().st_mode
    assert (report.clone / "file").samefile(report.clone / "sub" / "again")
    assert (report.clone / "file").stat().st_nlink == 2
    assert report.inode_of("sub/again") == report.inode_of("file") == (data / "file").stat().st_ino
    assert (report.clone / "sparse").stat().st_blocks <= (data / "sparse").stat().st_blocks
    assert (report.unkept, report.bytes_copied) == ((), 0)
