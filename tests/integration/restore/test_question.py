"""On a terminal a restore shows what it would replace, and asks; whatever isn't yes changes nothing."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.stack import FakeStack
from propolis.command.context import Context
from propolis.report.review import printable, show_review
from propolis.restore import RestoreRequest, measure
from propolis.restore.prepare import prepare
from propolis.restore.review import Review, review
from propolis.run import SilentObserver
from propolis.run.journals import journals
from propolis.run.lock import held


def heed_interrupts() -> None:
    """As a shell starts its commands, also where the tests themselves run in the background and ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A restore on a terminal of its own."""

    def __init__(self, stack: FakeStack, *arguments: str) -> None:
        self.master, terminal = pty.openpty()
        self.shown = b""
        what = arguments or ("latest", "--identity", str(stack.key))
        command = [sys.executable, "-m", "propolis", "restore", *what]
        environment = {**os.environ, "PROPOLIS_CONFIG": str(stack.propolis.config_file), "COLUMNS": "200"}
        streams: dict[str, Any] = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        self.process = subprocess.Popen(
            command, env=environment, start_new_session=True, preexec_fn=heed_interrupts, **streams
        )
        os.close(terminal)

    def read_until(self, text: bytes) -> str:
        deadline = time.monotonic() + 180
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            self._read()
        return self.shown.decode()

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends; again after a while: one that comes just before the reading begins waits for it."""
        while self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGINT)
            deadline = time.monotonic() + 15
            while self.process.poll() is None and time.monotonic() < deadline:
                self._read()

    def end(self) -> int:
        """The exit code, once all was read."""
        while self.process.poll() is None:
            self._read()
        self._read()
        os.close(self.master)
        return self.process.returncode

    def _read(self) -> None:
        if select.select([self.master], [], [], 0.1)[0]:
            try:
                self.shown += os.read(self.master, 65536)
            except OSError:  # the other end is closed
                time.sleep(0.01)


@pytest.fixture
def stack(fake_stack: FakeStack) -> FakeStack:
    """One with newer data than its backup's."""
    for path in [path for path in fake_stack.root.rglob("*") if path.is_file()]:
        if path.read_bytes() == b"since":  # written by a test before
            path.unlink()
    fake_stack.back_up()
    time.sleep(1.1)  # a backup tells its time in seconds
    fake_stack.change()
    return fake_stack


def reviewed(stack: FakeStack, **changes: Any) -> Review:
    config = stack.config
    request = replace(RestoreRequest(config, config, "latest", identity=stack.key), **changes)
    with Context(config, SilentObserver(), "run1") as context:
        return review(context, prepare(request, context))


def test_yes_restores_what_was_shown(stack: FakeStack) -> None:
    newer = stack.content()
    terminal = Terminal(stack)
    shown = terminal.read_until(b"[y/N]")
    for store in ("database", "index", "files", "config"):
        assert any(line.split()[:1] == [store] for line in shown.splitlines()), shown
    assert "TheHive's index holds 3 documents here, 2 in the backup" in shown
    assert not held(stack.root / "state"), "nobody is locked out while a person thinks"
    terminal.type(b"y\n")
    assert terminal.end() == 0, terminal.shown
    assert stack.content() != newer
    assert "since" not in " ".join(stack.content())


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04", b"\x03"], ids=["no", "enter", "ctrl-d", "ctrl-c"])
def test_anything_else_changes_nothing(stack: FakeStack, answer: bytes) -> None:
    before, runs = stack.content(), journals(stack.journals)
    terminal = Terminal(stack)
    terminal.read_until(b"[y/N]")
    if answer == b"\x03":
        terminal.interrupt()
    else:
        terminal.type(answer)
    assert terminal.end() == 130, terminal.shown
    assert b"The restore was not confirmed" in terminal.shown
    assert b"Traceback" not in terminal.shown
    assert stack.content() == before
    assert journals(stack.journals) == runs


def test_what_changed_since_the_backup_is_counted_by_store(stack: FakeStack) -> None:
    found = {store.store: store for store in reviewed(stack).stores}
    assert {name: store.here.changed for name, store in found.items() if name != "config"} == {
        "database": 1,
        "index": 1,
        "files": 1,
    }
    assert found["files"].here.files == found["files"].held_files + 1
    assert found["files"].here.bytes == found["files"].held_bytes + len("since")
    assert all(store.here.whole and store.in_place for store in found.values())


def test_of_a_large_store_the_least_is_told(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LOOKED_AT", 3)
    database = reviewed(stack).stores[0]
    assert not database.here.whole
    assert 0 < database.here.files <= 3


def test_with_services_down_and_data_lost_it_still_shows_what_there_is(stack: FakeStack) -> None:
    stack.stop()
    lost = stack.root / "files"
    lost.rename(stack.root / "lost")
    try:
        found = reviewed(stack)
    finally:
        (stack.root / "lost").rename(lost)
        stack.start()
    (files,) = [store for store in found.stores if store.store == "files"]
    assert (files.here.files, files.here.whole) == (0, True)
    assert files.held_files
    assert "The documents of the index here were not counted: it is not running." in found.notes


def test_what_a_repository_says_steers_no_terminal(stack: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    found = replace(reviewed(stack), stack="\x1b]0;owned\x07", host="[red]h[/]", notes=("\x1b[2Jcleared\nline",))
    show_review(found, "")
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert r"\x1b]0;owned\x07" in shown
    assert "[red]h[/]" in shown
    assert r"\x1b[2Jcleared\nline" in shown
    assert printable("plain – ü") == "plain – ü"


def test_a_script_without_yes_is_refused(stack: FakeStack, tmp_path: Path) -> None:
    before = stack.content()
    command = [sys.executable, "-m", "propolis", "restore", "latest", "-c", str(stack.propolis.config_file)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert stack.content() == before


def test_an_undo_shows_what_it_replaces_and_asks_too(stack: FakeStack) -> None:
    newer = stack.content()
    stack.propolis.ok("restore", "latest", "-i", stack.key, "--keep-old", "4")
    restored = stack.own_content()
    time.sleep(1.1)  # a record tells its time in seconds
    (stack.root / "files/attachment/3f/after").write_text("since")
    for answer, code in ((b"n\n", 130), (b"y\n", 0)):
        terminal = Terminal(stack, "--undo")
        shown = terminal.read_until(b"[y/N]")
        (files,) = [line for line in shown.splitlines() if line.split()[:1] == ["files"]]
        assert "1 files, the newest at" in files
        assert "is kept for 4 days in its turn" in shown
        if code:
            assert stack.own_content() == restored | {"files/attachment/3f/after": "since"}
        terminal.type(answer)
        assert terminal.end() == code, terminal.shown
    assert stack.own_content() == newer
    stack.propolis.ok("clean", "--all")


def test_a_script_that_undoes_says_yes_too(stack: FakeStack) -> None:
    command = [sys.executable, "-m", "propolis", "restore", "--undo", "-c", str(stack.propolis.config_file)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "add --yes" in done.stderr
