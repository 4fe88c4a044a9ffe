"""An agent on a host of fake services: whoever drives it and however that ends, services run and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from fakes.stack import FakeStack
from propolis import __version__
from propolis.link.frames import frame, read_frame
from propolis.link.messages import (
    PROTOCOL,
    Answer,
    Ask,
    Beat,
    Cancel,
    Close,
    Closed,
    Do,
    Done,
    Failed,
    FromAgent,
    Note,
    Open,
    Part,
    Progress,
    ToAgent,
    Undo,
)
from propolis.run import read_journal
from propolis.run.journal import new_run_id

LONG = 600.0
"""A silence that no test waits for."""

STEPS = 19


class Driver:
    """A coordinator that says what it is told to; with a short silence also that it is there, until `silent`."""

    def __init__(self, stack: FakeStack, silence: float = LONG) -> None:
        self.stack = stack
        self.silence = silence
        command = [sys.executable, "-m", "propolis", "agent", "--config", str(stack.propolis.config_file)]
        reading, self.writing = os.pipe()
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.writing, bufsize=0)
        self.answers = os.fdopen(reading, "rb")
        self.silent = threading.Event()
        self.writing_one = threading.Lock()
        if silence != LONG:
            threading.Thread(target=self.beat, daemon=True).start()

    def send(self, message: ToAgent) -> None:
        assert self.child.stdin is not None
        with self.writing_one:
            self.child.stdin.write(frame(msgspec.msgpack.encode(message)))

    def beat(self) -> None:
        while not self.silent.wait(0.2):
            self.send(Beat())

    def receive(self) -> FromAgent:
        while (payload := read_frame(self.answers)) is not None:
            message: FromAgent = msgspec.msgpack.decode(payload, type=FromAgent)
            if not isinstance(message, Beat | Progress | Note):
                return message
        raise EOFError

    def order(self, message: ToAgent) -> FromAgent:
        self.send(message)
        return self.receive()

    def open(self) -> Part:
        part = self.order(
            Open(
                protocol=PROTOCOL,
                propolis=__version__,
                host="db2",
                stack="fake",
                run=new_run_id(),
                command="backup",
                silence=self.silence,
            )
        )
        assert isinstance(part, Part), part
        return part

    def do(self, *steps: int) -> None:
        for step in steps:
            done = self.order(Do(step=step))
            assert isinstance(done, Done), done
            assert done.step == step

    def undo(self, *steps: int) -> None:
        for step in steps:
            assert self.order(Undo(step=step)) == Done(step=step)

    def close(self, outcome: str) -> None:
        closed = self.order(Close(outcome=outcome))
        assert isinstance(closed, Closed), closed
        assert self.child.wait(30) == 0

    def hang_up(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()

    def stop_reading(self) -> None:
        """Let nothing that the agent says find room any more."""
        more = os.open(f"/proc/self/fd/{self.writing}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            while True:
                os.write(more, b"x")
        except BlockingIOError:
            os.close(more)


@contextmanager
def driven(stack: FakeStack, silence: float = LONG) -> Iterator[Driver]:
    driver = Driver(stack, silence)
    try:
        yield driver
    finally:
        driver.silent.set()
        if driver.child.stdin is not None:
            driver.child.stdin.close()
        os.close(driver.writing)
        driver.answers.close()
        driver.child.kill()
        driver.child.wait()


@pytest.fixture(scope="module")
def module_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStack]:
    with FakeStack.up(tmp_path_factory.mktemp("host")) as stack:
        file = stack.propolis.config_file
        file.write_text(f"host: db2\n{file.read_text()}")
        yield stack


@pytest.fixture
def host(module_host: FakeStack) -> Iterator[FakeStack]:
    """A host that a coordinator calls db2; in the end all of its services run, and nothing is left."""
    yield module_host
    module_host.wait_until_recovered()
    module_host.assert_serving()
    module_host.assert_nothing_left()


def stop_of(part: Part, service: str) -> int:
    return next(step.number for step in part.steps if step.phase == f"stop:{service}")


def test_a_host_does_its_part_step_by_step(host: FakeStack) -> None:
    with driven(host) as driver:
        part = driver.open()
        assert part.host == "db2"
        assert set(part.running) == set(host.roles)
        assert [step.number for step in part.steps] == list(range(STEPS))
        assert all(step.phase and step.title for step in part.steps)
        assert "config/db2/thehive" in part.facts["trees"]
        driver.do(*range(len(part.steps)))
        driver.close("done")
    state = read_journal(host.newest_journal())
    assert state is not None
    assert state.outcome == "done"


@pytest.mark.parametrize("count", [1, 9, STEPS])
def test_what_it_did_is_undone_when_it_is_told(host: FakeStack, count: int) -> None:
    with driven(host) as driver:
        driver.open()
        driver.do(*range(count))
        driver.undo(*reversed(range(count + 1 if count < STEPS else count)))  # one that never began, too
        failed = driver.order(Do(step=count))
        assert isinstance(failed, Failed)
        assert failed.step == count
        driver.close("undone")


def test_orders_out_of_turn_are_refused_and_hurt_nothing(host: FakeStack) -> None:
    with driven(host) as driver:
        driver.open()
        for wrong in (Do(step=1), Do(step=-1), Do(step=99)):
            assert isinstance(driver.order(wrong), Failed)
        driver.do(0, 1)
        assert isinstance(driver.order(Undo(step=0)), Failed)
        driver.send(Cancel())  # too late: another host failed while this one waits
        driver.undo(1, 0)
        driver.send(Cancel())
        driver.close("undone")


def test_a_run_that_is_unfinished_is_not_closed_but_recovered(host: FakeStack) -> None:
    with driven(host) as driver:
        part = driver.open()
        driver.do(*range(stop_of(part, "thehive") + 1))
        assert not host.is_running("thehive")
        failed = driver.order(Close(outcome="done"))
        assert isinstance(failed, Failed)
        assert "unfinished" in failed.what
        host.wait_until_recovered()


def test_a_step_is_cut_short_and_then_undone(host: FakeStack) -> None:
    with driven(host) as driver:
        part = driver.open()
        last = next(step.number for step in part.steps if step.title.startswith("wait for TheHive"))
        driver.do(*range(last))
        host.tell("thehive", "hangs")
        driver.send(Do(step=last))
        driver.send(Cancel())
        failed = driver.receive()
        host.forget("thehive", "hangs")
        assert isinstance(failed, Failed)
        assert (failed.step, failed.exit_code) == (last, 130)
        assert "Interrupted by its coordinator" in failed.what
        driver.undo(*reversed(range(last + 1)))
        driver.close("undone")


@pytest.mark.parametrize("step", range(3, STEPS, 5))
def test_one_that_is_hung_up_on_within_a_step_exits_and_its_watchdog_brings_all_back(
    host: FakeStack, step: int
) -> None:
    with driven(host) as driver:
        driver.open()
        driver.do(*range(step))
        driver.send(Do(step=step))
        driver.hang_up()
        assert driver.child.wait(30) == 1
        host.wait_until_recovered()


def test_a_broken_frame_is_the_end(host: FakeStack) -> None:
    with driven(host) as driver:
        part = driver.open()
        driver.do(*range(stop_of(part, "thehive") + 1))
        assert driver.child.stdin is not None
        driver.child.stdin.write(b"\xff" * 8)
        assert driver.child.wait(30) == 1
        host.wait_until_recovered()


@pytest.mark.parametrize("how", ["silent", "frozen", "deaf"])
def test_one_that_hears_nothing_is_killed_and_recovered(host: FakeStack, how: str) -> None:
    with driven(host, 2.0) as driver:
        part = driver.open()
        driver.do(*range(stop_of(part, "thehive") + 1))
        driver.silent.set()
        if how == "frozen":
            driver.child.send_signal(signal.SIGSTOP)
        elif how == "deaf":  # and nobody takes what it says: the coordinator is frozen
            driver.stop_reading()
            driver.send(Do(step=stop_of(part, "thehive") + 1))
        assert driver.child.wait(60) == -signal.SIGKILL
        host.wait_until_recovered()


def test_signals_of_a_terminal_are_ignored_and_that_of_a_shutdown_ends_the_step(host: FakeStack) -> None:
    with driven(host) as driver:
        driver.open()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTSTP):
            driver.child.send_signal(number)
        driver.do(0, 1)
        driver.child.send_signal(signal.SIGTERM)
        failed = driver.order(Do(step=2))
        assert isinstance(failed, Failed)
        assert "SIGTERM" in failed.what
        driver.undo(2, 1, 0)
        driver.close("undone")


def test_a_host_whose_watchdog_can_not_start_stops_nothing(host: FakeStack) -> None:
    log = host.root / "state/watchdog.log"
    log.unlink(missing_ok=True)
    log.mkdir()
    try:
        with driven(host) as driver, pytest.raises(AssertionError, match="watchdog"):
            driver.open()
    finally:
        log.rmdir()


def test_a_host_that_is_at_work_says_so_and_recovers_when_it_is_asked(host: FakeStack) -> None:
    ask = Ask(protocol=PROTOCOL, propolis=__version__, host="db2", stack="fake", question="recover")
    with driven(host) as driver:
        driver.open()
        driver.do(0, 1)
        with driven(host) as other:
            busy = other.order(ask)
            assert isinstance(busy, Failed)
            assert busy.exit_code == 11
        driver.child.kill()
    host.wait_until_recovered()
    with driven(host) as other:
        assert other.order(ask) == Answer(value=[])


def test_nothing_but_frames_is_on_its_output(host: FakeStack, tmp_path: Path) -> None:
    """What a step, or a program that it starts, prints goes to standard error."""
    script = tmp_path / "chatty.py"
    script.write_text(
        "import os, sys, msgspec\n"
        "from pathlib import Path\n"
        "from propolis.agent.session import Session\n"
        "from propolis.link.messages import ToAgent\n"
        "from propolis.link.standard import StandardLink\n"
        "from propolis.backup.cold import DEFAULTS, cold_plan\n"
        "def planner(options, parent, context):\n"
        "    print('printed', flush=True); os.system('echo by a child; cat'); os.write(1, b'written')\n"
        "    return cold_plan(DEFAULTS, context), {}\n"
        "link = StandardLink(msgspec.msgpack.Decoder(ToAgent))\n"
        "Session(link, Path(sys.argv[1]), {'backup': planner}).serve()\n"
    )
    file = host.propolis.config_file
    with driven(host) as driver:
        driver.child.kill()
        driver.child = subprocess.Popen(
            [sys.executable, str(script), str(file)],
            stdin=subprocess.PIPE,
            stdout=driver.writing,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        driver.open()
        driver.close("undone")
        assert driver.child.stderr is not None
        assert driver.child.stderr.read() == b"printed\nby a child\nwritten"
        driver.child.stderr.close()
