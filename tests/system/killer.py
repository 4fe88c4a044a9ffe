"""Runs Propolis and kills it with SIGKILL at one step: `killer.py STEP MOMENT -- ARGUMENTS`.

STEP is a number from 0. MOMENT is `after` (its end is in the journal, nothing further was begun), `during:SECONDS`
(that long after its beginning) or `all` (as `after`, and the watchdog dies first). Only this script knows of it:
Propolis itself has no such switch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from propolis.cli import main
from propolis.run import Journal
from propolis.run.watchdog import Watchdog


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: int, moment: str) -> None:
    if moment == "all":
        real_init = Watchdog.__init__

        def init(self: Watchdog, *arguments: Any) -> None:
            real_init(self, *arguments)
            self._child.kill()
            self._child.wait()

        Watchdog.__init__ = init  # type: ignore[method-assign,assignment]
    if moment in ("after", "all"):
        real_after = Journal.after

        def after(self: Journal, number: int, result: Any) -> None:
            real_after(self, number, result)
            if number == step:
                die()

        Journal.after = after  # type: ignore[method-assign,assignment]
        return
    real_before = Journal.before

    def before(self: Journal, number: int) -> None:
        real_before(self, number)
        if number == step:
            threading.Timer(float(moment.removeprefix("during:")), die).start()

    Journal.before = before  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    arm(int(sys.argv[1]), sys.argv[2])
    main(sys.argv[4:])
