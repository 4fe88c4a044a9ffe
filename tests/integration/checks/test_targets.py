"""Folders on real filesystems that a restore could not replace, each found before anything is stopped."""

from pathlib import Path

from integration.clone.filesystems import bound, mounted, run
from propolis.checks.look import Look, Target
from propolis.checks.targets import replaceable, trial_places
from unit.checks.stacks import config_in, look_at


def found(scratch: Path, folder: Path) -> tuple[str, str]:
    """The result and what it says of one folder."""
    beside, inside = trial_places(folder, "20261127T000000Z.trial")
    look: Look = look_at(config_in(scratch), "restore", targets=[Target(folder, beside, inside)])
    (check,) = replaceable(look)
    return check.result, check.message


def test_a_read_only_filesystem_and_a_mount_below_are_found(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path, 16) as point:
        folder = point / "data"
        (folder / "inner").mkdir(parents=True)
        assert found(tmp_path, folder)[0] == "ok"
        assert found(tmp_path, point)[0] == "ok", "a mount of its own is replaced from within"
        with bound(tmp_path, folder / "inner"):
            assert found(tmp_path, folder) == (
                "fail",
                f"something is mounted at {folder}/inner, below {folder}: it can't be moved",
            )
        run("mount", "-o", "remount,ro", str(point))
        assert found(tmp_path, folder) == ("fail", f"the filesystem of {folder} is read-only")


def test_a_folder_of_another_quota_project_takes_nothing_from_beside_it(tmp_path: Path) -> None:
    with mounted("xfs", tmp_path, 320) as point:
        folder = point / "data"
        folder.mkdir()
        run("chattr", "-p", "7", "+P", str(folder))
        result, message = found(tmp_path, folder)
        assert result == "fail"
        assert f"nothing can be moved into {folder}" in message
        assert sorted(point.rglob("*")) == [folder], "what was tried is gone again"
