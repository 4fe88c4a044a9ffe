"""A program at the near end of a link: its standard input and output are the link, what it says on standard error is
kept for whoever has to find out why there is none."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Sequence

from propolis.errors import PreflightError, PropolisError

TOLD_LINES = 5
"""Lines of its standard error that are kept, the last ones."""

TOLD_WIDTH = 300

STOP_SECONDS = 5.0
"""Time it has to end by itself once its input is closed; then it is told to, then killed."""

LAST_WORDS = 1.0
"""Longest wait for the rest of its standard error: something that it started may hold that open."""


class LinkFailed(PreflightError):
    """There never was a link: the program at its near end can't be started, ended, or isn't Propolis."""


class NotStarted(LinkFailed):
    """The program at the near end can't be started."""


class EndedAtOnce(LinkFailed):
    """It ended before it said anything: its exit code and what it told last say why."""


class NotPropolis(LinkFailed):
    """What answered is something else."""


class NotAnswering(LinkFailed):
    """Nothing answered in time."""


class LinkLost(PropolisError):
    """A link is gone that was there. What the far end does now can't be learned over it."""


class Process:
    """The running program. Its pipes are unbuffered; whoever uses it closes them by `end` or `kill`."""

    def __init__(self, command: Sequence[str], name: str) -> None:
        """Start it: an argument list. `name` begins every message, e.g. "The host db2". Raises NotStarted.

        It has a session of its own: what a terminal sends to everything in its foreground isn't for it.
        """
        self.command = tuple(command)
        self.name = name
        self.shown = shown(command)
        try:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise NotStarted(
                f"{name} can't be reached: `{self.shown}` can't be started: {why}",
                next="Check that the program is installed and executable",
            ) from error
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self.stdin = self._child.stdin.fileno()
        self.stdout = self._child.stdout.fileno()
        self._told: deque[str] = deque(maxlen=TOLD_LINES)
        self._listener = threading.Thread(target=self._listen, name="link-stderr", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._child.pid

    def told(self) -> str:
        """What it said last on its standard error: one line, without anything that a terminal would obey."""
        self._listener.join(LAST_WORDS)
        return "; ".join(self._told.copy())

    def exit_code(self) -> int | None:
        """Its exit code once its output has ended, negative for a signal; None if it doesn't end."""
        try:
            return self._child.wait(LAST_WORDS)
        except subprocess.TimeoutExpired:
            return None

    def why_ended(self) -> str:
        """Say how it ended and what it told: for the end of a message. Kills it if it doesn't end."""
        try:
            code = self._child.wait(LAST_WORDS)
            how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
        except subprocess.TimeoutExpired:
            how = "closed its output"
        told = self.told()
        return f"`{self.shown}` {how}" + (f": {told}" if told else "")

    def close_input(self) -> None:
        """Let it see the end of file. Nobody may be writing."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()

    def kill(self) -> None:
        """End it at once. Its pipes stay open until `end`."""
        with contextlib.suppress(OSError):
            self._child.kill()

    def end(self) -> None:
        """Close its input, wait for its end, and bring that about if it doesn't come. Nobody may be writing."""
        self.close_input()
        for stop in (self._child.terminate, self._child.kill):
            try:
                self._child.wait(STOP_SECONDS)
                break
            except subprocess.TimeoutExpired:
                with contextlib.suppress(OSError):
                    stop()
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(STOP_SECONDS)
        self._listener.join(LAST_WORDS)

    def close_output(self) -> None:
        """Read nothing more. Nobody may be reading."""
        assert self._child.stdout is not None
        with contextlib.suppress(OSError):
            self._child.stdout.close()

    def _listen(self) -> None:
        assert self._child.stderr is not None
        line = b""
        with self._child.stderr as source, contextlib.suppress(OSError):
            while part := os.read(source.fileno(), 4096):
                *lines, line = (line + part).split(b"\n")
                self._keep(lines)
                line = line[:TOLD_WIDTH]
        self._keep([line])

    def _keep(self, lines: Sequence[bytes]) -> None:
        self._told.extend(text for text in (harmless(line[:TOLD_WIDTH]) for line in lines[-TOLD_LINES:]) if text)


def shown(command: Sequence[str]) -> str:
    """A command as a message shows it."""
    text = harmless(os.fsencode(shlex.join(command)))
    return text if len(text) <= TOLD_WIDTH else f"{text[:TOLD_WIDTH]}…"


def harmless(text: bytes) -> str:
    """Make text of foreign bytes, in one line, with nothing in it that a terminal would obey."""
    decoded = text.decode("utf-8", "backslashreplace").strip()
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in decoded
    )
