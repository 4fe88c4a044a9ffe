"""Telling never decides: whatever happens to the output of a backup or restore, TheHive runs afterwards."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.stack import FakeStack
from propolis.errors import PropolisError
from propolis.run import Journal, Observer, SilentObserver

FAILURES: dict[str, BaseException] = {
    "broken pipe": BrokenPipeError(32, "Broken pipe"),
    "vanished terminal": OSError(5, "Input/output error"),
    "full disk": OSError(28, "No space left on device"),
    "closed descriptor": OSError(9, "Bad file descriptor"),
    "closed file": ValueError("I/O operation on closed file"),
    "no such letter": UnicodeEncodeError("ascii", "ä", 0, 1, "ordinal not in range(128)"),
    "bug of the console": RuntimeError("dictionary changed size during iteration"),
    "exit": SystemExit(1),
}

BACKUP_STEPS = 19
RESTORE_STEPS = 28


class Failing(SilentObserver):
    """Every telling fails."""

    def __init__(self, error: BaseException) -> None:
        self.told: set[str] = set()
        self._error = error

    def __getattribute__(self, name: str) -> Any:
        if name in ("step_started", "step_ended", "undoing", "progress", "note"):

            def fail(*arguments: object) -> None:
                self.told.add(name)
                raise self._error

            return fail
        return super().__getattribute__(name)


@pytest.fixture
def stack(fake_stack: FakeStack) -> Iterator[FakeStack]:
    """The stack, and the promise that a test leaves it with the content it had, or that of the newest backup."""
    before = fake_stack.content()
    yield fake_stack
    assert fake_stack.content() == before


def do(stack: FakeStack, command: str, observer: Observer) -> None:
    if command == "backup":
        stack.back_up(observer)
    else:
        stack.restore(observer)


def test_the_plans_have_as_many_steps_as_fail_here(stack: FakeStack) -> None:
    assert len(stack.propolis.plan("backup")) == BACKUP_STEPS
    assert len(stack.propolis.plan("restore", "latest", "--identity", stack.key)) == RESTORE_STEPS


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_run_that_can_tell_nobody_at_any_step_is_done_all_the_same(
    stack: FakeStack, command: str, failure: str
) -> None:
    observer = Failing(FAILURES[failure])
    do(stack, command, observer)
    assert observer.told >= {"step_started", "step_ended"}


def steps() -> Iterator[tuple[str, int, str]]:
    """Each step of both with a kind of failure, so that each kind comes at steps of every sort."""
    kinds = itertools.cycle(FAILURES)
    for command, count in (("backup", BACKUP_STEPS), ("restore", RESTORE_STEPS)):
        for step in range(count):
            yield command, step, next(kinds)


@pytest.mark.parametrize(("command", "step", "failure"), list(steps()))
def test_a_run_that_fails_at_any_step_is_undone_or_finished_with_nobody_to_tell(
    stack: FakeStack, command: str, step: int, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Journal.after

    def after(self: Journal, number: int, result: Any) -> None:
        if number == step:
            raise PropolisError("The test let this step fail")
        real(self, number, result)

    monkeypatch.setattr(Journal, "after", after)
    with pytest.raises(PropolisError, match="The test let this step fail"):
        do(stack, command, Failing(FAILURES[failure]))
    # Behind the commit point the watchdog finishes what is left; until then services run already.
    stack.assert_serving()
    stack.wait_until_recovered()


def start(stack: FakeStack, command: str, **streams: Any) -> subprocess.Popen[bytes]:
    arguments = ["backup"] if command == "backup" else ["restore", "latest", "--yes", "--identity", str(stack.key)]
    environment = {**os.environ, "PROPOLIS_CONFIG": str(stack.propolis.config_file)}
    return subprocess.Popen([sys.executable, "-m", "propolis", *arguments], env=environment, **streams)


def wait_for(stack: FakeStack, event: bytes, former: Path) -> None:
    """Until the running command's journal has it."""
    deadline = time.monotonic() + 180
    while (journal := stack.newest_journal()) == former or event not in journal.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.005)


COMMANDS = pytest.mark.parametrize("command", ["backup", "restore"])


@COMMANDS
def test_a_pipe_whose_reader_goes_away_changes_nothing(stack: FakeStack, command: str) -> None:
    with start(stack, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
    assert running.returncode == 0


@COMMANDS
def test_a_full_disk_under_standard_error_changes_nothing(stack: FakeStack, command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        running = start(stack, command, stdout=subprocess.PIPE, stderr=full)
        out = running.communicate()[0]
    assert running.returncode == 0
    assert b"downtime" in out


@COMMANDS
def test_a_result_that_has_no_room_is_one_clear_error_of_a_run_that_is_done(stack: FakeStack, command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        running = start(stack, command, stdout=full, stderr=subprocess.PIPE)
        error = running.communicate()[1].decode()
    assert running.returncode == 1
    assert "The result could not be written to standard output: No space left on device" in error
    assert "What the command did remains in effect" in error
    assert "Traceback" not in error
    assert "Exception ignored" not in error


@COMMANDS
def test_closed_descriptors_change_nothing_and_no_file_is_taken_for_one(stack: FakeStack, command: str) -> None:
    def close() -> None:
        for number in (0, 1, 2):
            os.close(number)

    running = start(stack, command, preexec_fn=close)
    assert running.wait() == 1, "the result could not be determined"
    journal = stack.newest_journal().read_bytes()
    assert all(line.startswith(b"{") for line in journal.splitlines())


@COMMANDS
def test_a_terminal_that_vanishes_while_thehive_is_down_takes_nothing_along(stack: FakeStack, command: str) -> None:
    former = stack.newest_journal()
    master, terminal = pty.openpty()

    def own() -> None:
        os.setsid()
        fcntl.ioctl(terminal, 0x540E, 0)  # TIOCSCTTY

    running = start(stack, command, stdin=terminal, stdout=terminal, stderr=terminal, preexec_fn=own)
    os.close(terminal)
    number = stack.propolis.step(
        command, "stop TheHive", *(() if command == "backup" else ("latest", "-i", stack.key))
    )
    wait_for(stack, b'{"event":"after","at":"', former)
    while f'"step":{number}'.encode() not in stack.newest_journal().read_bytes():
        os.set_blocking(master, False)
        time.sleep(0.005)
    os.close(master)  # the kernel sends SIGHUP, and every write fails with EIO from now on
    assert running.wait() in (0, 130)
    stack.wait_until_recovered()


@COMMANDS
def test_an_output_that_nobody_reads_holds_up_no_service(stack: FakeStack, command: str) -> None:
    """A terminal halted with Ctrl-S, or a pipe to a program that hangs."""
    former = stack.newest_journal()
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    running = start(stack, command, stdout=writing, stderr=writing)
    os.close(writing)
    wait_for(stack, b'"event":"end"', former)
    stack.assert_serving()
    while os.read(reading, 4096):
        pass
    assert running.wait() == 0
    os.close(reading)


@COMMANDS
def test_two_hang_ups_at_once_undo_the_run_whole(stack: FakeStack, command: str) -> None:
    former = stack.newest_journal()
    running = start(stack, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(stack, b"keep-services", former)
    wait_for(stack, b'"event":"promise"', former)
    for _ in range(20):
        running.send_signal(signal.SIGHUP)
        time.sleep(0.002)
    assert running.wait() in (0, 130)


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list"], ["list", "--json"], ["show"], ["status"], ["status", "--json"], ["doctor"], ["config", "show"]),
        *(["--help"], ["--version"], ["backup", "--plan"], ["verify", "latest", "--level", "manifest"], ["recover"]),
    ],
    ids=" ".join,
)
def test_on_a_full_disk_every_command_has_one_clear_error(stack: FakeStack, arguments: list[str]) -> None:
    environment = {**os.environ, "PROPOLIS_CONFIG": str(stack.propolis.config_file)}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "propolis", *arguments],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode in (1, 12) if arguments == ["doctor"] else done.returncode == 1
    assert done.stderr.count("The result could not be written to standard output: No space left on device") == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_reader_that_had_enough_is_no_error(stack: FakeStack) -> None:
    command = f"{sys.executable} -m propolis list --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PROPOLIS_CONFIG": str(stack.propolis.config_file)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split("[")[-1].strip() == "0"
    assert done.stderr == ""
