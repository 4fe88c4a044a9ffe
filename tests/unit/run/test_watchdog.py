"""The watchdog recovers a run whose process is gone, and goes only when the journal is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from propolis.run.journals import watches
from propolis.run.watchdog import Watchdog, note_file

PARENT = """
import os, signal, sys
from pathlib import Path
from propolis.run.watchdog import Watchdog
folder = Path(sys.argv[1])
dog = Watchdog([sys.executable, str(folder / "recovery.py")], folder / "log", folder / "run.jsonl")
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif sys.argv[2] == "gives up":
    dog.take_over()
else:
    dog.dismiss()
"""

RECOVERY = """
import pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "tries").open("a") as file:
    file.write("x")
tries = len((folder / "tries").read_text())
if tries < {succeeds}:
    sys.exit({code})
with (folder / "run.jsonl").open("a") as file:
    file.write('{{"event":"end"}}\\n')
"""

OPEN = '{"event":"begin"}\n'


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A run's journal, open; it is closed at the end, so that no watchdog outlives the test."""
    (tmp_path / "run.jsonl").write_text(OPEN)
    yield tmp_path
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"event":"end"}\n')
    wait_for(lambda: not note_file(tmp_path / "run.jsonl").exists())


def run(folder: Path, fate: str, *, succeeds: int = 1, code: int = 16) -> None:
    (folder / "recovery.py").write_text(RECOVERY.format(folder=str(folder), succeeds=succeeds, code=code))
    subprocess.run([sys.executable, "-c", PARENT, str(folder), fate], check=False)


def tries(folder: Path) -> int:
    return len((folder / "tries").read_text()) if (folder / "tries").exists() else 0


def log(folder: Path) -> str:
    return (folder / "log").read_text()


@pytest.mark.parametrize("fate", ["killed", "gives up"])
def test_a_run_that_is_not_over_when_its_process_is_gone_is_recovered(folder: Path, fate: str) -> None:
    run(folder, fate)
    wait_for(lambda: "run is finished" in log(folder))
    assert tries(folder) == 1


def test_a_run_that_ended_is_not(folder: Path) -> None:
    run(folder, "ends well")
    assert tries(folder) == 0
    assert log(folder) == ""


def test_a_recovery_that_fails_is_tried_again_until_the_journal_is_closed(folder: Path) -> None:
    run(folder, "killed", succeeds=3)
    wait_for(lambda: "run is finished" in log(folder))
    assert tries(folder) == 3
    assert "attempt 1 failed with exit code 16; the next one is in 2 s" in log(folder)
    assert "attempt 2 failed with exit code 16; the next one is in 4 s" in log(folder)


def test_one_that_finds_the_stack_busy_is_soon_tried_again(folder: Path) -> None:
    run(folder, "killed", succeeds=3, code=11)
    wait_for(lambda: "run is finished" in log(folder))
    assert "attempt 2 failed with exit code 11; the next one is in 2 s" in log(folder)


def test_a_recovery_that_says_all_is_well_while_the_journal_is_open_is_not_believed(folder: Path) -> None:
    run(folder, "killed", succeeds=2, code=0)
    wait_for(lambda: "run is finished" in log(folder))
    assert tries(folder) == 2


def test_while_it_tries_it_says_so_and_it_goes_when_somebody_else_recovered(folder: Path) -> None:
    run(folder, "killed", succeeds=99)
    journal = folder / "run.jsonl"
    wait_for(lambda: "attempt 1 failed" in log(folder))
    wait_for(lambda: (watch := watches(journal)) is not None and watch.tries >= 1)
    watch = watches(journal)
    assert watch is not None
    assert watch.last_exit == 16
    assert watch.next_at
    with journal.open("a") as file:
        file.write('{"event":"end"}\n')
    wait_for(lambda: "run is finished" in log(folder))
    assert watches(journal) is None


def test_a_note_of_a_watchdog_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    note_file(tmp_path / "run.jsonl").write_text('{"tries": 1, "last_exit": 16, "next_at": "soon"}')
    assert watches(tmp_path / "run.jsonl") is None


def test_one_that_can_not_watch_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="it ended at once"):
        Watchdog(["true"], tmp_path / "log", tmp_path / "run.jsonl")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(OSError, match="No such file"):
        Watchdog(["true"], tmp_path / "log", tmp_path / "run.jsonl")


def test_it_imports_the_standard_library_alone() -> None:
    source = Path(Watchdog.__init__.__code__.co_filename)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(source), os.devnull], input=b"ended\n", capture_output=True, check=True
    )
    assert done.stdout == b"watching\n"


DRIVEN = """
import os, signal, sys
from pathlib import Path
from propolis.run.watchdog import Watchdog
folder = Path(sys.argv[1])
recovery = [sys.executable, str(folder / "recovery.py")]
sys.executable = sys.argv[3]
dog = Watchdog(recovery, folder / "log", folder / "run.jsonl", float(sys.argv[2]))
print("watched", flush=True)
while line := sys.stdin.readline():
    if line == "freeze\\n":
        os.kill(os.getpid(), signal.SIGSTOP)
    dog.beat()
dog.dismiss()
"""


OLD_KERNEL = """#!/bin/sh
shift 2
exec {python} -I -S -c '
import os, runpy, sys
del os.pidfd_open
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
' "$@"
"""


def driven(folder: Path, silence: float, python: Path | str = sys.executable) -> subprocess.Popen[str]:
    """A process that is watched for silence, too: every line that it reads is a sign of life."""
    (folder / "recovery.py").write_text(RECOVERY.format(folder=str(folder), succeeds=1, code=16))
    command = [sys.executable, "-c", DRIVEN, str(folder), str(silence), str(python)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    assert child.stdout is not None
    assert child.stdout.readline() == "watched\n"
    return child


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("kernel", ["new", "old"])
def test_a_process_that_hears_nothing_is_killed_first_even_if_it_is_frozen(
    folder: Path, frozen: bool, kernel: str
) -> None:
    python = Path(sys.executable)
    if kernel == "old":
        python = folder / "python"
        python.write_text(OLD_KERNEL.format(python=sys.executable))
        python.chmod(0o700)
    with driven(folder, 1.0, python) as child:
        assert child.stdin is not None
        if frozen:
            child.stdin.write("freeze\n")
        assert child.wait(30) == -signal.SIGKILL
        wait_for(lambda: "run is finished" in log(folder))
        assert f"not heard for 1 s: killing the process {child.pid}" in log(folder)
        assert tries(folder) == 1


def test_signs_of_life_keep_it_calm_and_it_goes_when_it_is_told(folder: Path) -> None:
    with driven(folder, 2.0) as child:
        assert child.stdin is not None
        for _ in range(25):
            child.stdin.write("beat\n")
            time.sleep(0.1)
        child.stdin.close()
        assert child.wait(30) == 0
    assert log(folder) == ""
    assert tries(folder) == 0


def test_one_that_listens_acts_at_the_end_of_the_process_at_once(folder: Path) -> None:
    with driven(folder, 600.0) as child:
        child.kill()
        wait_for(lambda: "run is finished" in log(folder))
    assert "killing" not in log(folder)


def test_what_the_repository_can_not_say_is_asked_again_every_minute(folder: Path) -> None:
    run(folder, "killed", succeeds=99, code=13)
    wait_for(lambda: "attempt 1 failed with exit code 13; the next one is in 60 s" in log(folder))


def test_only_its_own_parent_is_ever_killed(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text(OPEN)
    source = Path(Watchdog.__init__.__code__.co_filename)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        for other in (stranger.pid, 1 << 22):
            command = [sys.executable, "-I", "-S", str(source), "--silence=0.1", f"--parent={other}"]
            done = subprocess.run([*command, str(tmp_path / "run.jsonl")], capture_output=True, check=False)
            assert done.returncode == 1
            assert done.stdout == b""
            assert b"can't be watched" in done.stderr
        assert stranger.poll() is None
        stranger.kill()


def test_signs_of_life_never_wait_and_never_fail(folder: Path) -> None:
    (folder / "recovery.py").write_text(RECOVERY.format(folder=str(folder), succeeds=1, code=1))
    dog = Watchdog(["true"], folder / "log", folder / "run.jsonl", 600.0)
    os.kill(dog._child.pid, signal.SIGSTOP)
    for _ in range(100_000):
        dog.beat()
    os.kill(dog._child.pid, signal.SIGCONT)
    dog._child.kill()
    dog._child.wait()
    dog.beat()
    dog.dismiss()
    dog.beat()
