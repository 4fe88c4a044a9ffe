"""A restore finds out whether folders can be replaced before it stops anything."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from propolis.checks import Check, Look
from propolis.checks.look import Target
from propolis.checks.targets import NAME, replaceable, trial_places
from propolis.config.schema import Config
from propolis.filesystem.flags import fixed, fixed_below
from unit.checks.stacks import config_in, look_at

RUN = "20261127T000000Z.trial"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture
def folder(config: Config) -> Path:
    """One folder to replace, with something in it."""
    folder = config.require_thehive().config
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/file").write_text("x")
    return folder


def found(config: Config, *folders: Path) -> list[Check]:
    targets = [
        Target(folder, *trial_places(folder.parent if folder.is_file() else folder, RUN)) for folder in folders
    ]
    look: Look = look_at(config, "restore", targets=targets)
    checks = list(replaceable(look))
    assert {check.name for check in checks} == {NAME}
    return checks


def refused(config: Config, *folders: Path) -> str:
    checks = found(config, *folders)
    assert {check.result for check in checks} == {"fail"}
    return "; ".join(check.message for check in checks)


def everything_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_a_plain_folder_one_that_is_not_there_yet_and_a_link_to_one_can_be_replaced(
    config: Config, folder: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    before = everything_below(tmp_path)
    (check,) = found(config, folder, folder.parent / "new", link)
    assert check.result == "ok"
    assert everything_below(tmp_path) == before, "what was tried is gone again"


def test_every_folder_of_the_stack_is_looked_at_by_the_doctor(config: Config, tmp_path: Path) -> None:
    before = everything_below(tmp_path)
    (check,) = replaceable(look_at(config, "doctor"))
    assert check.result == "ok"
    assert everything_below(tmp_path) == before


def test_a_file_and_a_link_to_nowhere_are_in_the_way(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "is not a folder" in refused(config, tmp_path / "file")
    assert "is a dangling symbolic link" in refused(config, tmp_path / "link")


@pytest.fixture
def flag() -> Iterator[object]:
    """Sets a flag with chattr, until the test ends."""
    given: list[Path] = []

    def set_flag(which: str, path: Path) -> None:
        subprocess.run(["chattr", f"+{which}", str(path)], check=True)
        given.append(path)

    yield set_flag
    for path in given:
        subprocess.run(["chattr", "-ia", str(path)], check=True)


@pytest.mark.parametrize("which", ["i", "a"])
@pytest.mark.parametrize("where", [".", "deep", "deep/er", "deep/er/file"])
def test_what_is_immutable_or_append_only_is_named_wherever_it_lies(
    config: Config, folder: Path, flag: object, which: str, where: str
) -> None:
    assert callable(flag)
    flag(which, folder / where)
    text = refused(config, folder)
    assert f"{folder / where} is {'immutable' if which == 'i' else 'append-only'} (chattr +{which})" in text
    assert not list(folder.parent.rglob(".propolis-*")), "nothing is tried where it could not be undone"


def test_a_parent_that_is_append_only_keeps_staged_folders_for_ever(
    config: Config, folder: Path, flag: object
) -> None:
    assert callable(flag)
    flag("a", folder.parent)
    assert f"{folder.parent} is append-only" in refused(config, folder)


def test_in_an_immutable_parent_the_content_is_moved_within_the_folder(
    config: Config, folder: Path, flag: object
) -> None:
    assert callable(flag)
    flag("i", folder.parent)
    (check,) = found(config, folder)
    assert check.result == "ok"


def test_many_immutable_files_are_counted(config: Config, folder: Path, flag: object) -> None:
    assert callable(flag)
    for number in range(5):
        (folder / f"{number}").touch()
        flag("i", folder / f"{number}")
    checks = found(config, folder)
    assert len(checks) == 4
    assert "2 more files" in checks[-1].message


def test_files_that_go_away_while_they_are_looked_at_are_no_obstacle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def vanishing(path: object, *arguments: object) -> int:
        if str(path).endswith("file"):
            (folder / "deep/er/file").unlink()
        return opened(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", vanishing)
    assert list(fixed_below(folder)) == []


def test_a_filesystem_without_flags_has_none() -> None:
    assert fixed(Path("/proc/self")) is None
    assert fixed(Path("/dev/shm")) is None
