"""What a log shows of a run."""

from __future__ import annotations

import io
import threading
import time

import pytest

from propolis.errors import PreflightError
from propolis.report import observers
from propolis.report.observers import LiveObserver, PlainObserver, observer_for
from propolis.run import Telling

SHOW_CURSOR = "\x1b[?25h"
ERASE_LINE = "\r\x1b[1A\x1b[2K"


class Lines(io.StringIO):
    """Says when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        self.written.set()
        return count


def test_a_step_that_takes_long_is_announced_before_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "LONG", 0.01)
    out = Lines()
    observer = PlainObserver(out)
    observer.step_started(2, 19, "store what is new")
    assert out.written.wait(30)
    assert out.getvalue() == "[ 2/19] store what is new ...\n"
    observer.step_ended(2, 19, "store what is new", 7.25)
    assert out.getvalue().splitlines()[1:] == ["[ 2/19] store what is new  (7.2 s)"]


def test_a_short_step_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "LONG", 1.0)
    out = Lines()
    observer = PlainObserver(out)
    observer.step_started(1, 19, "check")
    observer.step_ended(1, 19, "check", 0.0)
    observer.step_started(2, 19, "stop TheHive")
    observer.undoing("stop TheHive")
    time.sleep(1.1)
    assert out.getvalue().splitlines() == ["[ 1/19] check  (0.0 s)", "undo: stop TheHive"]


class Terminal(Lines):
    """Takes a moving line."""

    def isatty(self) -> bool:
        return True


def test_nothing_moves_on_a_terminal_once_a_step_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    observer = observer_for(out, quiet=False)
    assert isinstance(observer, LiveObserver)
    with pytest.raises(PreflightError), Telling(observer) as told:
        told.step_started(1, 19, "check the stack")
        raise PreflightError("no space")
    shown = out.getvalue()
    assert "check the stack" in shown
    assert shown.endswith(SHOW_CURSOR + ERASE_LINE), "the line is taken away, and the cursor is back"
    time.sleep(0.3)
    assert out.getvalue() == shown


def test_a_failed_step_is_not_announced_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "LONG", 1.0)
    out = Lines()
    with Telling(PlainObserver(out)) as told:
        told.step_started(1, 19, "check the stack")
    time.sleep(1.1)
    assert out.getvalue() == ""
