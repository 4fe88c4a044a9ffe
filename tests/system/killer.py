"""Runs Propolis and kills it with SIGKILL at one step: `killer.py STEP MOMENT -- ARGUMENTS`.

STEP is a number from 0. MOMENT is `after` (its end is in the journal, nothing further was begun) or `during` (a while
after its beginning). Only this script knows of it: Propolis itself has no such switch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from propolis.cli import main
from propolis.run import Journal


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: int, moment: str) -> None:
    if moment == "after":
        real_after = Journal.after

        def after(self: Journal, number: int, result: Any) -> None:
            real_after(self, number, result)
            if number == step:
                die()

        Journal.after = after  # type: ignore[method-assign]
        return
    real_before = Journal.before

    def before(self: Journal, number: int) -> None:
        real_before(self, number)
        if number == step:
            threading.Timer(float(moment.removeprefix("during:")), die).start()

    Journal.before = before  # type: ignore[method-assign]


if __name__ == "__main__":
    arm(int(sys.argv[1]), sys.argv[2])
    main(sys.argv[4:])
