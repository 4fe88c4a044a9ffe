"""What a folder held before a restore comes back into it, whatever moment a crash picks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from propolis import clone
from propolis.command.kept import KeptFolder
from propolis.restore import swap as module
from propolis.restore.swap import Swap, drop_aside, plan_return, plan_swap, swap_back, swap_in


class Crash(BaseException):
    """The process died here."""


OLD = {"data": "old data", "log/a": "old log", "only-old": "1"}
NEW = {"data": "new data", "log/b": "new log", "only-new": "2"}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def content(folder: Path, leave_out: str = ".propolis-") -> dict[str, str]:
    found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    return {name: text for name, text in found.items() if not name.startswith(leave_out)}


def replaced(target: Path, *, inside: bool = False) -> KeptFolder:
    """Restore `NEW` into the target, and keep what was there."""
    swap = at(plan_swap(target, "run1", staged=clone.place(target, "run1")), target, "run1", inside=inside)
    assert swap.staged is not None
    fill(Path(swap.staged), NEW)
    swap_in(swap)
    Path(swap.staged).rmdir()
    return KeptFolder(swap.target, swap.aside, swap.marker, swap.former, 0, 0)


def at(swap: Swap, target: Path, run: str, *, inside: bool) -> Swap:
    """The same where the target is a mount of its own: then all lies in it."""
    if not inside:
        return swap
    staged = swap.staged if swap.kept is not None else str(target / f".propolis-{run}")
    return msgspec.structs.replace(swap, staged=staged, aside=str(target / f".propolis-aside-{run}"))


def returning(kept: KeptFolder, *, inside: bool = False) -> Swap:
    target = Path(kept.target)
    own = [path.name for path in target.iterdir() if path.name.startswith(".propolis-aside-")]
    swap = at(plan_return(kept, "run2", own), target, "run2", inside=inside)
    again = msgspec.json.decode(msgspec.json.encode(swap), type=Swap)  # as the journal keeps it
    assert again == swap
    return again


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "cassandra"
    fill(target, OLD)
    os.setxattr(target, "user.note", b"former")
    target.chmod(0o751)
    return target


@pytest.mark.parametrize("inside", [False, True], ids=["beside", "own mount"])
def test_the_former_content_comes_back_with_its_folders_mode_and_attributes(target: Path, inside: bool) -> None:
    kept = replaced(target, inside=inside)
    target.chmod(0o700)
    os.removexattr(target, "user.note") if os.listxattr(target) else None
    swap = returning(kept, inside=inside)
    swap_in(swap)
    assert content(target) == OLD
    assert target.stat().st_mode & 0o777 == 0o751
    assert os.getxattr(target, "user.note") == b"former"
    assert [path.name for path in Path(kept.folder).iterdir()] == [kept.marker]
    assert content(Path(swap.aside), leave_out=swap.marker) == NEW
    drop_aside(swap)
    assert content(target) == OLD
    assert Path(kept.folder).is_dir(), "what an earlier run keeps is for its record to drop"


@pytest.mark.parametrize("inside", [False, True], ids=["beside", "own mount"])
def test_an_undo_that_fails_leaves_all_as_it_was_before_it(target: Path, inside: bool) -> None:
    kept = replaced(target, inside=inside)
    aside = content(Path(kept.folder), leave_out="nothing")
    swap = returning(kept, inside=inside)
    swap_in(swap)
    for _ in range(3):
        swap_back(swap)
    assert content(target) == NEW
    assert content(Path(kept.folder), leave_out="nothing") == aside
    assert not Path(swap.aside).exists()


def test_a_folder_that_was_not_there_is_gone_again_and_comes_back_when_the_undo_fails(tmp_path: Path) -> None:
    target = tmp_path / "index"
    kept = replaced(target)
    assert kept.former is None
    swap = returning(kept)
    swap_in(swap)
    assert not target.exists()
    swap_back(swap)
    assert content(target) == NEW


def test_another_restore_leaves_what_an_earlier_one_keeps_in_the_folder(target: Path) -> None:
    kept = replaced(target, inside=True)
    own = [Path(kept.folder).name]
    swap = at(plan_swap(target, "run3", staged=target / "later", own=own), target, "run3", inside=True)
    assert swap.staged is not None
    fill(Path(swap.staged), {"data": "later"})
    swap_in(swap)
    assert content(target) == {"data": "later"}
    assert content(Path(kept.folder), leave_out=kept.marker) == OLD
    swap_back(swap)
    assert content(target) == NEW
    assert content(Path(kept.folder), leave_out=kept.marker) == OLD


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Die before the `number`-th change of a folder."""
    left = [number]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            return real(*arguments, **options)

        return wrapped

    for owner, name in (
        *((Path, name) for name in ("rename", "touch", "unlink", "mkdir", "rmdir")),
        (os, "fchown"),
        (os, "fchmod"),
        (module, "sync_folder"),
    ):
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))


@pytest.mark.parametrize("first", range(24))
@pytest.mark.parametrize("second", [0, 1, 2, 3, 5, 8, 12, 16, 99])
@pytest.mark.parametrize("was_there", [True, False], ids=["was there", "was not there"])
def test_a_crash_at_any_moment_of_an_undo_and_of_its_undoing_loses_nothing(
    target: Path, tmp_path: Path, first: int, second: int, was_there: bool
) -> None:
    folder = target if was_there else tmp_path / "index"
    kept = replaced(folder)
    swap = returning(kept)
    for moment, action in ((first, swap_in), (second, swap_back)):
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, moment)
            with contextlib.suppress(Crash):
                action(swap)
    swap_back(swap)
    assert content(folder) == NEW
    assert content(Path(kept.folder), leave_out=kept.marker) == (OLD if was_there else {})
    assert not Path(swap.aside).exists()
    again = returning(kept)
    swap_in(again)
    assert (content(folder) if folder.exists() else None) == (OLD if was_there else None)
