"""One computation of the space that is needed: for each filesystem, all of it."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from propolis.checks import Check
from propolis.checks.look import Wanted
from propolis.checks.space import SPARE_BYTES, filesystems, for_clones, for_restore
from propolis.clone import Method, Survey
from propolis.command.kept import Kept, KeptFolder, record
from propolis.command.reserve import RESERVE_BYTES
from propolis.config.schema import Config
from propolis.stack.model import FolderTree
from unit.checks.stacks import config_in, look_at

MIB = 2**20


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the filesystem says is free."""

    def set_to(free: int, inodes: int | None = None) -> None:
        real = os.statvfs

        def answer(path: Any) -> Any:
            found = real(path)
            values = list(found)
            values[0], values[1], values[4] = 4096, 1, free
            values[5], values[7] = (0, 0) if inodes is None else (10**6, inodes)
            return os.statvfs_result(values)

        monkeypatch.setattr(os, "statvfs", answer)

    return set_to


def surveyed(copied: int, files: int = 10, method: Method = Method.COPY) -> Any:
    def survey(tree: FolderTree) -> Survey:
        return Survey(tree.path, method, files, copied, copied, 0)

    return survey


def room(found: Iterable[Check], name: str) -> Check:
    (check,) = [check for check in found if check.name == name]
    return check


def test_clones_of_one_filesystem_need_their_sum_and_what_is_reserved_there(
    config: Config, disk: Callable[..., None]
) -> None:
    look = look_at(config, "backup", survey=surveyed(100 * MIB))
    needed = len(look.surveys) * 100 * MIB + RESERVE_BYTES + SPARE_BYTES
    for free, result in ((needed, "ok"), (needed - 1, "fail")):
        disk(free)
        assert room(for_clones(look), "space for a clone").result == result


def test_doctor_and_backup_say_the_same_of_it(config: Config, disk: Callable[..., None]) -> None:
    disk(300 * MIB)
    told = [list(for_clones(look_at(config, who, survey=surveyed(20 * MIB)))) for who in ("doctor", "backup")]
    assert told[0] == told[1]


def test_a_restore_needs_all_that_it_brings_beside_what_is_there(config: Config, disk: Callable[..., None]) -> None:
    incoming = [
        Wanted(tree, 50 * MIB, 3)
        for tree in (config.require_thehive().config, config.state / "not" / "there" / "yet")
    ]
    for free, result in ((100 * MIB + RESERVE_BYTES + SPARE_BYTES, "ok"), (100 * MIB + RESERVE_BYTES, "fail")):
        disk(free)
        look = look_at(config, "restore", incoming=incoming)
        assert room(for_restore(look), "space for a restore").result == result


def test_the_doctor_takes_a_restore_for_as_large_as_what_is_there(config: Config, disk: Callable[..., None]) -> None:
    disk(200 * MIB)
    look = look_at(config, "doctor", survey=surveyed(0))
    assert room(for_restore(look), "space for a restore").result == "fail"
    disk(300 * MIB)
    assert room(for_restore(look), "space for a restore").result == "ok"


def test_files_that_can_not_be_made_are_as_missing_as_bytes(config: Config, disk: Callable[..., None]) -> None:
    look = look_at(config, "backup", survey=surveyed(0, files=1000))
    disk(10**12, inodes=1000)
    found = room(for_clones(look), "space for a clone")
    assert found.result == "fail"
    assert "1000 more files can be created" in found.message
    shared = look_at(config, "backup", survey=surveyed(0, files=1000, method=Method.HARDLINK))
    assert room(for_clones(shared), "space for a clone").result == "ok"
    disk(10**12, inodes=None)
    assert room(for_clones(look), "space for a clone").result == "ok", "btrfs counts none"


def test_only_filesystems_that_are_written_to_are_looked_at(config: Config) -> None:
    assert filesystems(config, []) == []
    (found,) = filesystems(config, [Wanted(config.require_thehive().config, 1, 1)])
    assert dataclasses.astuple(found)[3:] == (1, 1, RESERVE_BYTES, 0)


def test_data_that_restores_keep_is_named_as_what_could_make_room(config: Config, disk: Callable[..., None]) -> None:
    (config.state / "journal").mkdir(parents=True, exist_ok=True)
    folder = KeptFolder(
        str(config.require_thehive().config), str(config.require_thehive().config), "marker", None, 7, 300 * MIB
    )
    time = "2026-01-01T00:00:00+00:00"
    record(config.state, Kept("run1", "restore", "b", time, time, 1, (folder,)))
    disk(10 * MIB)
    incoming = [Wanted(config.require_thehive().config, 50 * MIB, 3)]
    found = room(for_restore(look_at(config, "restore", incoming=incoming, keep_days=4)), "space for a restore")
    assert found.result == "fail"
    assert "which stays for 4 days" in found.message
    assert "300 MiB" in found.hint
    assert "propolis clean --all" in found.hint
