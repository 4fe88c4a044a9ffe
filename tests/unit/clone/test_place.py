"""Where clones lie, how they are found again, and what may be removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.clone import aside, drop, drop_leftover, lookalikes, names_directly_in, place
from propolis.clone.inodes import InodeTable
from propolis.errors import PreflightError


def test_a_clone_lies_hidden_beside_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    assert place(folder, "20261123T1-ab") == tmp_path / ".propolis-20261123T1-ab-data"


def test_a_folder_that_is_yet_to_be_restored_has_its_place_beside_it(tmp_path: Path) -> None:
    assert place(tmp_path / "data", "r1") == tmp_path / ".propolis-r1-data"


def test_a_mount_of_its_own_holds_its_clones_itself() -> None:
    assert Path("/proc").is_mount()
    assert place(Path("/proc"), "r1") == Path("/proc/.propolis-r1")


def test_a_folder_without_parent_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="does not exist"):
        place(tmp_path / "no" / "such" / "folder", "r1")


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "-a", ".", "aside-1", "a b", "a\n"])
def test_a_run_id_that_could_name_another_path_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="not a run's id"):
        place(tmp_path, run_id)


def test_all_that_is_named_like_ours_is_found_beside_and_inside(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    expected = [tmp_path / ".propolis-old-data", folder / ".propolis-older", aside(folder, "old")]
    for path in expected:
        path.mkdir()
    (tmp_path / ".propolis-old-other").mkdir()
    (tmp_path / "plain").mkdir()
    (tmp_path / ".propolis-old-data.reserve").touch()
    (folder / ".propolis-file").touch()
    expected += [tmp_path / ".propolis-old-data.reserve", folder / ".propolis-file"]
    assert lookalikes([folder, folder]) == sorted(expected)


def test_only_what_lies_directly_in_a_folder_is_named_of_it(tmp_path: Path) -> None:
    places = [tmp_path / ".propolis-1", tmp_path / "a" / ".propolis-2", tmp_path.parent / ".propolis-3"]
    assert names_directly_in(tmp_path, places) == {".propolis-1"}


def test_of_what_a_run_left_the_clone_and_the_reserve_go_and_nothing_else(tmp_path: Path) -> None:
    clone, reserve, file = (tmp_path / f".propolis-r1-data{end}" for end in ("", ".reserve", ".txt"))
    clone.mkdir()
    reserve.touch()
    file.touch()
    for path in (clone, reserve, file, tmp_path / ".propolis-gone"):
        drop_leftover(path)
        drop_leftover(path)
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_named_like_ours_is_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / ".propolis-old-data").mkdir()
    assert lookalikes([tmp_path / "data", tmp_path / "nowhere" / "data"]) == [tmp_path / ".propolis-old-data"]


def test_what_was_moved_aside_is_never_dropped(tmp_path: Path) -> None:
    kept = aside(tmp_path / "data", "r1")
    kept.mkdir()
    drop_leftover(kept)
    with pytest.raises(PreflightError, match="not the name of a clone"):
        drop(kept)
    assert kept.is_dir()


def test_dropping_removes_everything_and_may_be_repeated(tmp_path: Path) -> None:
    clone = tmp_path / ".propolis-r1-data"
    (clone / "a" / "b").mkdir(parents=True)
    (clone / "a" / "file").touch()
    drop(clone)
    assert list(tmp_path.iterdir()) == []
    drop(clone)


def test_dropping_removes_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    clone = tmp_path / ".propolis-r1-data"
    clone.mkdir()
    (clone / "way out").symlink_to(tmp_path / "precious")
    drop(clone)
    assert (tmp_path / "precious" / "file").exists()


@pytest.mark.parametrize("name", ["data", ".propolis", ".propolis-", ".propolis--x", ".propolis-aside-r1-data"])
def test_nothing_but_a_clone_is_dropped(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(PreflightError, match="not the name of a clone"):
        drop(tmp_path / name)
    assert (tmp_path / name).is_dir()


def test_a_link_or_file_in_a_clones_place_is_not_dropped(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    link = tmp_path / ".propolis-r1-data"
    link.symlink_to(tmp_path / "precious")
    with pytest.raises(PreflightError, match="not a plain folder"):
        drop(link)
    assert link.is_symlink()
    assert (tmp_path / "precious").is_dir()


@given(st.dictionaries(st.text(), st.integers(0, 2**64 - 1)), st.text())
def test_an_inode_table_answers_like_a_mapping(entries: dict[str, int], other: str) -> None:
    table = InodeTable()
    for path, inode in entries.items():
        table.add(path, inode)
    assert {path: table.get(path) for path in entries} == entries
    assert table.get(other) == entries.get(other)
    assert len(table) == len(entries)


class Same(str):
    """A path whose hash is another's."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 5


def test_two_paths_with_one_hash_are_both_unknown() -> None:
    table = InodeTable()
    table.add(Same("a"), 1)
    table.add(Same("b"), 2)
    assert table.get(Same("a")) is None
    assert table.get(Same("b")) is None


def test_a_table_takes_sixteen_bytes_a_file() -> None:
    table = InodeTable()
    for i in range(100_000):
        table.add(f"index/{i}", i)
    assert table.get("index/77777") == 77777
    stored = sum(
        len(part.keys) * part.keys.itemsize + len(part.inodes) * part.inodes.itemsize for part in table._parts
    )
    assert stored == 16 * 100_000


@pytest.mark.parametrize(("parent", "told"), [("missing", "does not exist"), ("file", "is not a folder")])
def test_a_folder_without_a_folder_to_lie_in_is_told(parent: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PreflightError, match=told) as caught:
        place(tmp_path / parent / "data", "run")
    assert caught.value.left == "Nothing was changed"
