"""A clone equals its original, shares what may be shared, and says what it did."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.clone import Method, clone, drop, place, probe, survey, transfer
from propolis.errors import PreflightError
from unit.clone.trees import TREES, File, Folder, Link, content, make


def everything(path: str) -> bool:
    return True


def nothing(path: str) -> bool:
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "a" / "empty").mkdir(parents=True)
    (data / "a" / "segment").write_bytes(b"fixed" * 1000)
    (data / "a" / "log").write_bytes(b"changes" * 1000)
    return data


@settings(max_examples=60, deadline=None)
@given(tree=TREES, method=st.sampled_from([Method.HARDLINK, Method.COPY]), salt=st.integers(0, 7))
def test_a_clone_equals_its_original(tree: Folder, method: Method, salt: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        make(tree, data)
        before = content(data)
        report = clone(data, place(data, "r1"), lambda path: hash((path, salt)) % 2 == 0, method)
        assert content(report.clone) == before
        assert content(data) == before
        drop(report.clone)
        assert content(data) == before


@settings(max_examples=40, deadline=None)
@given(tree=TREES, salt=st.integers(0, 7))
def test_immutable_files_share_an_inode_and_others_never_do(tree: Folder, salt: int) -> None:
    def immutable(path: str) -> bool:
        return hash((path, salt)) % 2 == 0

    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        make(tree, data)
        report = clone(data, place(data, "r1"), immutable, Method.HARDLINK)
        files = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
        for path in files:
            name = str(path.relative_to(data))
            assert ((report.clone / name).lstat().st_ino == path.lstat().st_ino) == immutable(name)
        shared = sum(path.lstat().st_size for path in files if immutable(str(path.relative_to(data))))
        assert report.bytes_shared == shared
        assert report.bytes_copied == sum(path.lstat().st_size for path in files) - shared


@settings(max_examples=40, deadline=None)
@given(tree=TREES, method=st.sampled_from([Method.HARDLINK, Method.COPY]))
def test_the_original_inode_of_every_file_is_known(tree: Folder, method: Method) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        make(tree, data)
        report = clone(data, place(data, "r1"), nothing, method)
        for path in data.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert report.inode_of(str(path.relative_to(data))) == path.lstat().st_ino
        assert report.inode_of("no such file") is None


def test_a_linked_file_needs_no_remembered_inode(folder: Path) -> None:
    report = clone(folder, place(folder, "r1"), everything, Method.HARDLINK)
    assert report.inode_of("a/segment") is None
    assert len(report.inodes) == 0


def test_writing_to_a_mutable_file_leaves_the_clone_alone(folder: Path) -> None:
    report = clone(folder, place(folder, "r1"), lambda path: path == "a/segment", Method.HARDLINK)
    with (folder / "a" / "log").open("r+b") as log:
        log.write(b"XXXX")
    assert (report.clone / "a" / "log").read_bytes() == b"changes" * 1000


def test_files_above_the_threading_threshold_are_copied_whole(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    os.utime(data, ns=(5, 5))
    contents = {f"deep/{i}": os.urandom((1 << 20) + i) for i in range(70)}
    for name, raw in contents.items():
        (data / name).write_bytes(raw)
    os.utime(data / "deep", ns=(7, 7))
    report = clone(data, place(data, "r1"), everything, Method.COPY)
    assert {name: (report.clone / name).read_bytes() for name in contents} == contents
    assert report.bytes_copied == sum(map(len, contents.values()))
    assert (report.clone / "deep").stat().st_mtime_ns == 7
    assert report.clone.stat().st_mtime_ns == data.stat().st_mtime_ns


def test_a_copy_without_the_kernels_own_copying_is_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_in_kernel", transfer._send)
    report = clone(folder, place(folder, "r1"), nothing, Method.COPY)
    assert content(report.clone) == content(folder)


def test_sockets_and_pipes_are_skipped_and_named(folder: Path) -> None:
    os.mkfifo(folder / "a" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    report = clone(folder, place(folder, "r1"), everything, Method.HARDLINK)
    assert {item.what: item.examples for item in report.unkept} == {"pipes": ["a/pipe"], "sockets": ["socket"]}
    assert not (report.clone / "socket").exists()
    assert (report.files, report.folders) == (2, 3)


def test_a_symbolic_link_is_never_followed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    (folder / "way out").symlink_to(outside)
    report = clone(folder, place(folder, "r1"), everything, Method.COPY)
    assert (report.clone / "way out").is_symlink()
    assert report.bytes_copied == 12000
    drop(report.clone)
    assert (outside / "secret").read_text() == "x"


def test_a_folder_reached_through_a_symbolic_link_is_cloned_beside_its_real_place(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "way").symlink_to(folder)
    report = clone(tmp_path / "elsewhere" / "way", place(tmp_path / "elsewhere" / "way", "r1"), everything)
    assert report.clone == tmp_path / ".propolis-r1-data"
    assert content(report.clone) == content(folder)


def test_a_clone_inside_its_own_folder_holds_neither_itself_nor_what_is_to_be_left_out(folder: Path) -> None:
    (folder / ".propolis-r2.reserve").write_bytes(b"reserve")
    own = frozenset({".propolis-r1", ".propolis-r2.reserve"})
    first = clone(folder, folder / ".propolis-r1", everything, Method.HARDLINK, own)
    second = clone(folder, folder / ".propolis-r2", everything, Method.HARDLINK, own)
    assert first.files == second.files == 2
    assert sorted(path.name for path in second.clone.iterdir()) == ["a"]
    drop(second.clone)
    assert survey(folder, nothing, Method.HARDLINK, leave_out=own).files == 2


def test_content_that_is_only_named_like_ours_is_cloned_like_any_other(folder: Path) -> None:
    for name in (".propolis-notes", ".propolis-aside-x", "a/.propolis-r1"):
        (folder / name).mkdir()
        (folder / name / "precious").write_text("x")
    (folder / ".propolis-r9-data.reserve").write_text("x")
    report = clone(folder, place(folder, "r1"), nothing, Method.COPY, frozenset({".propolis-r1"}))
    assert content(report.clone) == content(folder)
    assert survey(folder, nothing, Method.COPY).files == report.files


def test_a_place_that_is_taken_is_left_alone(folder: Path) -> None:
    report = clone(folder, place(folder, "r1"), everything)
    with pytest.raises(PreflightError, match="can't be made"):
        clone(folder, place(folder, "r1"), everything)
    assert content(report.clone) == content(folder)


def test_a_destination_that_could_not_be_dropped_again_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="not the name of a clone"):
        clone(folder, tmp_path / "backup", everything)
    assert not (tmp_path / "backup").exists()


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="gone"):
        clone(tmp_path / "gone", tmp_path / ".propolis-r1-gone", everything, Method.COPY)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_grows_while_it_is_copied_fails_the_clone_and_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    log = data / "log"
    log.write_bytes(b"x" * 200_000_000)
    stop = threading.Event()

    def service() -> None:
        with log.open("ab", buffering=0) as live:
            while not stop.is_set():
                live.write(b"x")

    writer = threading.Thread(target=service)
    writer.start()
    try:
        with pytest.raises(PreflightError, match="changed while") as caught:
            clone(data, place(data, "r1"), everything, Method.COPY)
    finally:
        stop.set()
        writer.join()
    assert "removed" in caught.value.left
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_file_that_can_take_no_more_links_is_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "link", lambda name, source, target: False)
    report = clone(folder, place(folder, "r1"), everything, Method.HARDLINK)
    assert content(report.clone) == content(folder)
    assert report.bytes_shared == 0
    assert report.inode_of("a/segment") == (folder / "a" / "segment").stat().st_ino


def test_no_descriptor_stays_open_after_success_or_failure(folder: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    report = clone(folder, place(folder, "r1"), nothing)
    drop(report.clone)
    with pytest.raises(PreflightError):
        clone(folder.parent / "gone", folder.parent / ".propolis-r1-gone", nothing, Method.COPY)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_probe_says_a_method_and_leaves_nothing(folder: Path) -> None:
    before = content(folder.parent)
    assert probe(folder) in Method
    after = content(folder.parent)
    # Only the parent's own modification time may differ.
    assert before.pop(".")[:4] == after.pop(".")[:4]
    assert after == before


@pytest.mark.parametrize(("method", "copied"), [(Method.REFLINK, 0), (Method.HARDLINK, 7000), (Method.COPY, 12000)])
def test_a_survey_counts_what_a_clone_would_copy(folder: Path, method: Method, copied: int) -> None:
    (folder / "link").symlink_to("a")
    found = survey(folder, lambda path: path == "a/segment", method)
    assert (found.files, found.bytes_total, found.bytes_copied) == (3, 12000, copied)
    assert found.free > 0
    if method is not Method.REFLINK:
        report = clone(folder, place(folder, "r1"), lambda path: path == "a/segment", method)
        assert (report.files, report.bytes_copied) == (found.files, found.bytes_copied)


def test_tree_strategies_make_every_kind() -> None:
    kinds: set[type] = set()

    @settings(max_examples=50, deadline=None, database=None)
    @given(TREES)
    def look(tree: Folder) -> None:
        kinds.update(map(type, tree.entries.values()))

    look()
    assert kinds == {File, Link, Folder}


def test_a_folder_that_is_kept_empty_is_there_and_what_it_held_is_counted(folder: Path) -> None:
    for name in ("ks/table/snapshots/tag", "ks/table/backups", "ks/other/snapshots"):
        (folder / name).mkdir(parents=True)
    (folder / "ks/table/snapshots/tag/data").write_bytes(b"x" * 5000)

    def rule(path: str) -> str | None:
        return "folders of snapshots" if path.endswith("/snapshots") else None

    report = clone(folder, place(folder, "r1"), nothing, Method.COPY, kept_empty=rule)
    assert [(kind.what, kind.count, kind.examples) for kind in report.unkept] == [
        ("folders of snapshots", 1, ["ks/table/snapshots"])
    ]
    assert list((report.clone / "ks/table/snapshots").iterdir()) == []
    assert (report.clone / "ks/other/snapshots").is_dir()
    assert survey(folder, nothing, Method.COPY, kept_empty=rule).files == report.files


def test_a_clone_inherits_no_access_list_from_the_folder_above(folder: Path) -> None:
    everybody = "0200000001000700ffffffff02000700d204000004000700ffffffff10000700ffffffff20000700ffffffff"
    os.setxattr(folder.parent, "system.posix_acl_default", bytes.fromhex(everybody))
    report = clone(folder, place(folder, "r1"), everything, Method.COPY)
    for path in [report.clone, *report.clone.rglob("*")]:
        assert os.listxattr(path) == []
    assert content(report.clone) == content(folder)


def test_a_sparse_file_takes_no_more_room_in_its_clone(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(5 << 20)
        file.write(b"data")
    os.utime(folder / "sparse", ns=(1, 1))
    expected = survey(folder, nothing, Method.COPY).bytes_copied
    report = clone(folder, place(folder, "r1"), nothing, Method.COPY)
    assert report.bytes_copied < expected + (1 << 20)
    there = (report.clone / "sparse").stat()
    assert (there.st_size, there.st_mtime_ns) == (1 << 40, 1)
    assert there.st_blocks <= (folder / "sparse").stat().st_blocks
