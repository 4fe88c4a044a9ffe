"""On real servers: output that fails while TheHive is down keeps nothing down."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from propolis.run.journals import journals, open_runs
from propolis_lab.proof import Proof, compare, snapshot
from system.conftest import Scene
from system.test_failures import small_disk


@pytest.fixture(scope="module")
def before(scene: Scene) -> Proof:
    """What the stack holds, and the newest backup too."""
    scene.propolis.ok("backup")
    return snapshot(scene.lab)


def shell(scene: Scene, command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PROPOLIS_CONFIG": str(scene.propolis.config_file)}
    propolis = f"{sys.executable} -m propolis"
    script = f"set -o pipefail; {command.replace('propolis', propolis, 1)}"
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)


def hang_up(scene: Scene, *arguments: str | Path) -> int:
    """Run it on a terminal of its own, which vanishes as soon as TheHive is stopped; give the exit code."""
    folder = scene.propolis.config.state / "journal"
    number = scene.propolis.step(str(arguments[0]), "stop TheHive", *arguments[1:])
    former = journals(folder)[-1]
    master, terminal = pty.openpty()

    def own() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    running = subprocess.Popen(
        [sys.executable, "-m", "propolis", *map(str, arguments)],
        env={**os.environ, "PROPOLIS_CONFIG": str(scene.propolis.config_file)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        preexec_fn=own,
    )
    os.close(terminal)
    wait_for(lambda: journals(folder)[-1] != former)
    wait_for(lambda: f'"step":{number + 1}}}'.encode() in journals(folder)[-1].read_bytes())
    os.close(master)  # the kernel sends SIGHUP, and whatever is written from now on fails
    code = running.wait(300)
    wait_for(lambda: not open_runs(folder).states)
    return code


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_pipe_that_closes_after_some_lines_changes_nothing(settled: Scene, before: Proof) -> None:
    backups = len(settled.propolis.ok("list", "--json").json)
    done = shell(settled, "propolis backup 2>&1 | head -6")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 6
    assert len(settled.propolis.ok("list", "--json").json) == backups + 1


def test_a_full_disk_under_what_is_told_changes_nothing(settled: Scene, before: Proof) -> None:
    with small_disk(settled.folder / "told", 16) as disk:
        with (disk / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(disk).free)
        done = shell(settled, f"propolis backup 2>>{disk}/log")
        assert done.returncode == 0
        assert "is complete" in done.stdout
        assert (disk / "log").stat().st_size == 0


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_terminal_that_vanishes_while_thehive_is_down_takes_nothing_along(
    settled: Scene, before: Proof, command: str
) -> None:
    arguments = ("backup",) if command == "backup" else ("restore", "latest", "--identity", settled.key, "--yes")
    assert hang_up(settled, *arguments) in (0, 130)
    settled.assert_serving()
    assert compare(before, snapshot(settled.lab)) == []
