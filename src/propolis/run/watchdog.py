"""The watchdog: brings services back when Propolis itself is killed.

A child in a session of its own holds the reading end of a pipe whose other end only Propolis has. Told that the run
ended well, it goes. At end of file without that word Propolis is dead, and the child runs the recovery command.
It is a bare interpreter that imports the standard library alone, so it costs little memory beside a backup.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ENDED = b"ended\n"
TRIES = 5
PAUSE = 2.0


class Watchdog:
    """The watching child, as its parent sees it."""

    def __init__(self, recovery: Sequence[str], log: Path) -> None:
        """Start watching this process; `recovery` is the command to run should it die, its output goes to `log`."""
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *recovery],
                stdin=subprocess.PIPE,
                stdout=fd,
                stderr=fd,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(fd)

    def dismiss(self) -> None:
        """The run ended, well or not, and left nothing half done: no need to watch any more."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(ENDED)
            self._child.stdin.close()
        except BrokenPipeError:
            pass
        self._child.wait()


def watch(recovery: Sequence[str]) -> int:
    """Wait for the parent's end (standard input); run `recovery` if it died. Return an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = b""
    while chunk := os.read(0, 64):
        told += chunk
    if told == ENDED:
        return 0
    code = 1
    for _ in range(TRIES):
        code = subprocess.run(recovery, stdin=subprocess.DEVNULL, check=False).returncode
        if code == 0:
            break
        time.sleep(PAUSE)
    return code


if __name__ == "__main__":
    sys.exit(watch(sys.argv[1:]))
