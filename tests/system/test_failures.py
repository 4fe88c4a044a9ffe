"""Things go wrong: each time one clear message, the documented exit code, and TheHive running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from propolis_lab.lab import Lab, Options
from propolis_lab.proof import compare, snapshot
from system.command import Propolis
from system.conftest import Scene


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A filesystem of its own."""
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    mount.chmod(0o755)
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)
        image.unlink()


def with_repository(scene: Scene, repository: Path, folder: Path) -> Propolis:
    """The same stack with another repository."""
    file = folder / "propolis.yaml"
    scene.propolis.ok("init", "--root", scene.lab.root, "--repository", repository, "--output", file)
    return Propolis(file)


def objects(scene: Scene, kind: str) -> list[Path]:
    return sorted(path for path in (scene.repository / kind).rglob("*") if path.is_file())


@contextmanager
def changed(path: Path, content: bytes | None) -> Iterator[None]:
    """The file has other content, or is gone, for a while."""
    kept = path.with_name(path.name + ".kept")
    shutil.copy2(path, kept)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        kept.rename(path)


def test_an_unplugged_repository_stops_a_backup_before_anything_is_touched(settled: Scene) -> None:
    pids = settled.lab.platform.pids("thehive")
    away = settled.repository.with_name("unplugged")
    settled.repository.rename(away)
    try:
        settled.propolis.run("backup").one_clear_error(13)
        settled.propolis.run("restore", "latest", "--identity", settled.key).one_clear_error(13)
    finally:
        away.rename(settled.repository)
    assert settled.lab.platform.pids("thehive") == pids


def test_a_repository_unplugged_while_thehive_is_down_brings_it_back_and_says_so(settled: Scene) -> None:
    number = settled.propolis.step("backup", "store new")
    settled.lab.seed(1, 3, seed=91)
    with small_disk(settled.folder / "unplug", 64) as disk:
        propolis = with_repository(settled, disk / "repository", disk)
        propolis.ok("repository", "init", "--recovery-key", disk / "key")
        shutil.copy2(disk / "propolis.yaml", settled.folder / "unplug.yaml")
        propolis = Propolis(settled.folder / "unplug.yaml")
        ran = propolis.disturbed(number, f"fill:{disk}", "backup")
        message = ran.one_clear_error(13)
        assert "space" in message.lower()
        assert propolis.ok("list", "--json").json == [], "no manifest, no backup"
        (disk / "filler").unlink()
        propolis.ok("backup")
        assert len(propolis.ok("list", "--json").json) == 1


def test_a_full_disk_under_the_clone_is_told_and_thehive_runs(lab_folder: Path, scene: Scene) -> None:
    with small_disk(lab_folder / "full", 1500) as disk, Lab.up(disk / "host", Options(cases=2, attachments=5)) as lab:
        propolis = Propolis(lab_folder / "full" / "propolis.yaml")
        repository = lab_folder / "full" / "repository"
        propolis.ok(
            "init", "--root", lab.root, "--repository", repository, "--output", propolis.config_file, "--name", "full"
        )
        propolis.ok("repository", "init", "--recovery-key", lab_folder / "full" / "key")
        number = propolis.step("backup", "clone")
        before = snapshot(lab)
        message = propolis.disturbed(number, f"fill:{disk}", "backup").one_clear_error(12)
        assert "space" in message.lower()
        (disk / "filler").unlink()
        assert lab.answers("thehive")
        assert not list(lab.root.rglob(".propolis-*"))
        with (disk / "large").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - (100 << 20))
        message = propolis.run("backup").one_clear_error(12)
        assert "space for a clone" in message
        assert "Nothing was changed" in message
        (disk / "large").unlink()
        propolis.ok("backup")
        assert compare(before, snapshot(lab)) == []
    shutil.rmtree(lab_folder / "full")


def test_a_repository_that_must_not_be_written_is_told(settled: Scene) -> None:
    subprocess.run(["chattr", "-R", "+i", str(settled.repository)], check=True)
    try:
        settled.propolis.run("backup").one_clear_error(13)
    finally:
        subprocess.run(["chattr", "-R", "-i", str(settled.repository)], check=True)


def test_the_wrong_key_is_told_with_the_one_that_is_needed(settled: Scene, tmp_path: Path) -> None:
    other = with_repository(settled, tmp_path / "repository", tmp_path)
    other.ok("repository", "init", "--recovery-key", tmp_path / "other.key")
    for arguments in (("--identity", tmp_path / "other.key"), ()):
        message = settled.propolis.run("restore", "latest", *arguments).one_clear_error(13)
        assert "age1" in message
    assert settled.lab.answers("thehive")


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_pack_is_found_by_verify_and_restored_by_nobody(settled: Scene, damage: str) -> None:
    pack = max(objects(settled, "packs"), key=lambda path: path.stat().st_size)
    content = pack.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    spoilt = {"flipped": flipped, "truncated": content[:middle], "missing": None}[damage]
    pids = settled.lab.platform.pids("thehive")
    with changed(pack, spoilt):
        message = settled.propolis.run("verify", "latest").one_clear_error(14)
        assert "failed verification" in message
        settled.propolis.run("restore", "latest", "--identity", settled.key).one_clear_error(14)
    assert settled.lab.platform.pids("thehive") == pids, "TheHive was not to be touched"
    settled.propolis.ok("verify", "latest")


@pytest.mark.parametrize("kinds", [("manifests",), ("indexes",), ("keys", "spare")])
def test_a_truncated_manifest_index_or_key_is_no_success_anywhere(settled: Scene, kinds: tuple[str, ...]) -> None:
    with ExitStack() as damages:
        for path in [path for kind in kinds for path in objects(settled, kind)[-1 if kind == "manifests" else 0 :]]:
            damages.enter_context(changed(path, path.read_bytes()[:-20]))
        settled.propolis.run("verify", "latest").one_clear_error(14)
        settled.propolis.run("restore", "latest", "--identity", settled.key).one_clear_error(14)
    settled.propolis.ok("verify", "latest")


def test_a_malformed_configuration_is_told_with_file_line_and_key(settled: Scene, tmp_path: Path) -> None:
    file = tmp_path / "propolis.yaml"
    lines = settled.propolis.config_file.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith(("  keyspace:", "  host:")))
    lines[number] = "  hots: 127.0.0.1"
    file.write_text("\n".join(lines))
    message = Propolis(file).run("backup").one_clear_error(10)
    assert f"{file}:{number + 1}: " in message
    assert "hots" in message
    file.write_text("name: [")
    assert f"{file}:1" in Propolis(file).run("config", "check").one_clear_error(10)


@pytest.mark.parametrize(
    "arguments",
    [
        ["backup", "--pln"],
        ["bakup"],
        ["restore"],
        ["restore", "latest", "--only", "databse"],
        ["verify", "--level", "x"],
    ],
)
def test_a_mistyped_command_is_a_usage_error(settled: Scene, arguments: list[str]) -> None:
    settled.propolis.run(*arguments).one_clear_error(2)


def test_a_second_run_on_the_same_stack_is_refused(settled: Scene) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "propolis", "backup"],
        env={**os.environ, "PROPOLIS_CONFIG": str(settled.propolis.config_file)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert first.stderr is not None
    first.stderr.readline()
    settled.propolis.run("backup").one_clear_error(11)
    assert first.wait() == 0


def test_a_service_that_does_not_come_back_has_its_own_exit_code_and_recover_mends_it(settled: Scene) -> None:
    description = settled.lab.layout.services / "thehive.yaml"
    kept = description.read_text()
    number = settled.propolis.step("backup", "clone")
    broken = kept.replace("org.propolis.standin.Main", "org.propolis.standin.Nowhere")
    assert broken != kept
    try:
        ran = settled.propolis.disturbed(number, f"replace:{description}", "backup", replacement=broken)
        message = ran.one_clear_error(16)
        assert "propolis recover" in message
    finally:
        description.write_text(kept)
    settled.propolis.recover()
    settled.assert_serving()
