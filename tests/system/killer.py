"""Runs Propolis and lets something happen at one step: `killer.py STEP MOMENT -- ARGUMENTS`.

STEP is a number from 0. MOMENT is one of:
- `after`: SIGKILL when its end is in the journal and nothing further was begun
- `during:SECONDS`: SIGKILL that long after its beginning
- `made:NUMBER`: SIGKILL within it, when it has made that many folders and is about to make another one
- `all`: as `after`, and the watchdog dies first
- `fail`: the step fails as soon as it begins
- `fill:FOLDER`: that folder's filesystem is filled up when the step begins
- `spoil:FILE`: that file gets broken content, and then SIGKILL
- `replace:FILE`: that file gets the content of the environment's REPLACEMENT when the step begins
- `kill:FILE`, `stop:FILE`: as `after`, but another process is killed or stopped, the one whose ID is in FILE
- `agent:FOLDER`: the same, and killed is the process of the newest run that a journal in FOLDER names
- `crash:FOLDER`: so, and its watchdog dies first
Only this script knows of it: Propolis itself has no such switch.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from propolis.cli import main
from propolis.errors import PropolisError
from propolis.run import Journal
from propolis.run.watchdog import Watchdog


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_folder(number: int) -> None:
    left = [number]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.mkdir":
            if left[0] == 0:
                die()
            left[0] -= 1

    sys.addaudithook(hook)


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def child_of(parent: int) -> int:
    """The watchdog: what this process runs by a bare interpreter."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status, line = (entry / "stat").read_text(), (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == parent and b"watchdog.py" in line:
                return int(entry.name)
    raise LookupError(f"{parent} has no watchdog")


def disturb(kind: str, where: Path) -> None:
    """Let something happen to another process."""
    if kind in ("kill", "stop"):
        os.kill(int(where.read_text()), signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
        return
    newest = max(where.glob("*.jsonl"))
    agent = int(json.loads(newest.read_text().splitlines()[0])["pid"])
    if kind == "crash":
        os.kill(child_of(agent), signal.SIGKILL)
    os.kill(agent, signal.SIGKILL)


def arm(step: int, moment: str) -> None:
    if moment == "all":
        real_init = Watchdog.__init__

        def init(self: Watchdog, *arguments: Any) -> None:
            real_init(self, *arguments)
            self._child.kill()
            self._child.wait()

        Watchdog.__init__ = init  # type: ignore[method-assign,assignment]
    kind, _, parameter = moment.partition(":")
    if kind in ("after", "all", "kill", "stop", "agent", "crash"):
        real_after = Journal.after

        def after(self: Journal, number: int, result: Any) -> None:
            real_after(self, number, result)
            if number == step and parameter:
                disturb(kind, Path(parameter))
            elif number == step:
                die()

        Journal.after = after  # type: ignore[method-assign,assignment]
        return
    real_before = Journal.before

    def before(self: Journal, number: int) -> None:
        real_before(self, number)
        if number != step:
            return
        if kind == "during":
            threading.Timer(float(parameter), die).start()
        elif kind == "made":
            die_at_folder(int(parameter))
        elif kind == "fill":
            fill(Path(parameter))
        elif kind == "spoil":
            Path(parameter).write_text("name: [")
            die()
        elif kind == "replace":
            Path(parameter).write_text(os.environ["REPLACEMENT"])
        else:
            raise PropolisError("The test let this step fail")

    Journal.before = before  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    arm(int(sys.argv[1]), sys.argv[2])
    main(sys.argv[4:])
