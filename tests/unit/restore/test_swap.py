"""A folder's content is replaced and brought back, whatever moment a crash picks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from propolis import clone
from propolis.command.kept import Former
from propolis.restore import swap as module
from propolis.restore.swap import drop_aside, plan_swap, swap_back, swap_in


class Crash(BaseException):
    """The process died here."""


def fill(folder: Path, **files: str) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


OLD = {"data": "old data", "log": "old log", "only-old": "1"}
NEW = {"data": "new data", "log": "new log", "only-new": "2"}


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, module.Swap]:
    target = tmp_path / "cassandra"
    fill(target, **OLD)
    target.chmod(0o750)
    staged = clone.place(target, "run1")
    fill(staged, **NEW)
    return target, plan_swap(target, "run1", staged=staged)


def test_the_new_content_comes_in_and_the_former_goes_for_good_only_at_the_end(
    scene: tuple[Path, module.Swap],
) -> None:
    target, swap = scene
    swap_in(swap)
    assert content(target) == NEW
    drop_aside(swap)
    drop_aside(swap)
    assert [path.name for path in target.parent.iterdir()] == ["cassandra"]


def test_bringing_back_restores_content_and_mode_and_can_be_repeated(scene: tuple[Path, module.Swap]) -> None:
    target, swap = scene
    swap_in(swap)
    fill(target, written_by_the_new_service="3")
    for _ in range(3):
        swap_back(swap)
    assert content(target) == OLD
    assert target.stat().st_mode & 0o777 == 0o750
    assert swap.staged is not None
    assert "written_by_the_new_service" in content(Path(swap.staged))


def test_a_target_that_was_not_there_is_gone_again_after_undo(tmp_path: Path) -> None:
    target = tmp_path / "index"
    staged = clone.place(target, "run1")
    fill(staged, **NEW)
    swap = plan_swap(target, "run1", staged=staged)
    swap_in(swap)
    assert content(target) == NEW
    swap_back(swap)
    assert not target.exists()


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Die before the `number`-th change of a directory or of metadata."""
    left = [number]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            return real(*arguments, **options)

        return wrapped

    for owner, name in (
        (Path, "rename"),
        (Path, "touch"),
        (Path, "unlink"),
        (Path, "mkdir"),
        (Path, "rmdir"),
        (Path, "chmod"),
        (os, "chown"),
        (os, "utime"),
        (module, "sync_folder"),
    ):
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))


@pytest.mark.parametrize("first", range(22))
@pytest.mark.parametrize("second", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 99])
def test_a_crash_at_any_moment_of_doing_and_of_undoing_loses_nothing(
    scene: tuple[Path, module.Swap], first: int, second: int
) -> None:
    target, swap = scene
    for moment, action in ((first, swap_in), (second, swap_back)):
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, moment)
            with contextlib.suppress(Crash):
                action(swap)
    swap_back(swap)
    assert content(target) == OLD
    assert target.stat().st_mode & 0o777 == 0o750
    assert not Path(swap.aside).exists()


ODD = {".propolis-notes/a": "1", ".propolis-aside-x": "2", ".all-moved-aside": "3", ".propolis-r9.reserve": "4"}
"""Content of a service's own, named as Propolis names its."""


@pytest.mark.parametrize("inside", [True, False], ids=["own mount", "beside"])
def test_content_that_is_only_named_like_ours_is_replaced_and_brought_back_like_any_other(
    tmp_path: Path, inside: bool
) -> None:
    target = tmp_path / "cassandra"
    fill(target, **OLD, **ODD)
    place, aside, reserve = (
        target / name if inside else tmp_path / f"{name}-cassandra"
        for name in (".propolis-run1", ".propolis-aside-run1", ".propolis-run1.reserve")
    )
    new = {**NEW, **{name: f"new {text}" for name, text in ODD.items()}}
    fill(place, **new)
    if inside:
        reserve.write_text("room")
    status = target.stat()
    former = Former(status.st_uid, status.st_gid, status.st_mode & 0o7777)
    swap = module.Swap(str(target), str(place), str(aside), former, plan_swap(target, "run1", staged=place).marker)

    def present() -> dict[str, str]:
        own = {".propolis-run1", ".propolis-aside-run1", ".propolis-run1.reserve"}
        return {path: text for path, text in content(target).items() if Path(path).parts[0] not in own}

    swap_in(swap)
    assert present() == new
    swap_back(swap)
    assert present() == {**OLD, **ODD}
    assert reserve.exists() == inside
    swap_in(swap)
    drop_aside(swap)
    assert present() == new
    assert not aside.exists()
    assert not place.exists()


def test_an_emptied_folder_loses_all_that_is_its_own(tmp_path: Path) -> None:
    target = tmp_path / "saved_caches"
    fill(target, **ODD)
    swap = plan_swap(target, "run1", staged=None)
    swap_in(swap)
    assert content(target) == {}
    fill(target, **{".propolis-new": "by the new service"})
    swap_back(swap)
    assert content(target) == ODD


LIST = bytes.fromhex("0200000001000700ffffffff02000700d204000004000500ffffffff10000700ffffffff20000000ffffffff")


def attributes(folder: Path) -> dict[str, bytes]:
    return {name: os.getxattr(folder, name) for name in os.listxattr(folder)}


def test_the_folder_itself_takes_over_attributes_and_access_lists_and_gets_its_own_back(
    scene: tuple[Path, module.Swap],
) -> None:
    target, _ = scene
    staged = clone.place(target, "run1")
    os.setxattr(target, "user.note", b"former")
    os.setxattr(target, "system.posix_acl_access", LIST)
    os.setxattr(staged, "user.note", b"new")
    os.setxattr(staged, "system.posix_acl_default", LIST)
    staged.chmod(0o700)
    before, after = attributes(target), attributes(staged)
    swap = plan_swap(target, "run1", staged=staged)
    again = msgspec.json.decode(msgspec.json.encode(swap), type=module.Swap)  # as the journal keeps it
    assert again == swap
    swap_in(again)
    assert attributes(target) == after
    assert target.stat().st_mode & 0o7777 == 0o700
    swap_back(again)
    assert attributes(target) == before
    assert target.stat().st_mode & 0o7777 == 0o770


def test_nobody_else_may_enter_while_content_comes_in(
    scene: tuple[Path, module.Swap], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was open to all, and its restored content relies on a folder that isn't."""
    target, _ = scene
    staged = clone.place(target, "run1")
    target.chmod(0o755)
    staged.chmod(0o700)
    os.setxattr(target, "system.posix_acl_access", LIST)
    swap = plan_swap(target, "run1", staged=staged)
    seen = []
    real = Path.rename

    def look(self: Path, to: Path) -> Path:
        if to.parent == target:
            seen.append((target.stat().st_mode & 0o077, attributes(target)))
        return real(self, to)

    monkeypatch.setattr(Path, "rename", look)
    swap_in(swap)
    swap_back(swap)
    assert len(seen) > 4
    assert all(found == (0, {}) for found in seen)


def test_a_journal_that_tells_of_no_attributes_is_understood() -> None:
    former = msgspec.json.decode(b'{"uid":1,"gid":2,"mode":493}', type=Former)
    assert former == Former(1, 2, 0o755)
