"""What benchmarks of downtime share: more attachments, copies by hand, turns under a watcher, and their table."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.data import MIB, Source, attachments, count
from propolis_lab.proof.outside import Watcher

Taken = Mapping[str, Sequence[float]]
"""Seconds without TheHive, by the way in which it was backed up; the first one is stop and start alone."""


def grow(folder: Path, megabytes: int, files: int) -> None:
    """Add attachments: the stand-in's own are few; what makes a big host is many files that are simply there."""
    owner = folder.stat()
    attachments(folder, megabytes * MIB, files, random.Random(1), Source("propolis 1"))
    for path in folder.iterdir():
        os.chown(path, owner.st_uid, owner.st_gid)


def rsync(stopped: Sequence[Path], target: Path) -> None:
    """Copy every folder, one after another."""
    for folder in stopped:
        destination = target / folder.relative_to("/")
        destination.mkdir(parents=True)
        subprocess.run(["rsync", "-aW", f"{folder}/", f"{destination}/"], check=True)


def take_turns(ways: Mapping[str, Callable[[], None]], rounds: int, url: str, copies: Path) -> dict[str, list[float]]:
    """Watch TheHive at `url` while each way is gone `rounds` times; `copies`, if there are any, is removed then."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        names = list(ways)
        # In turns, and each time another first, so that a busy machine treats all alike.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            os.sync()
            with Watcher(url) as watcher:
                # An outage counts if TheHive was seen to answer before it and after it.
                time.sleep(1)
                ways[name]()
                time.sleep(1)
            assert watcher.downtime > 0, "TheHive was not seen to go down and come back"
            taken[name].append(watcher.downtime)
            print(f"round {number + 1}, {name}: {watcher.downtime:.2f} s", flush=True)
            shutil.rmtree(copies, ignore_errors=True)
    return taken


def size_of(stopped: Sequence[Path]) -> str:
    """How much lies in these folders, as a page tells it."""
    counts = [count(path) for path in stopped]
    return f"{sum(size for _, size in counts) / 2**30:.2f} GiB in {sum(number for number, _ in counts)} files"


def table(taken: Taken) -> list[str]:
    """The lines of a Markdown table of them."""
    own = statistics.median(next(iter(taken.values())))
    lines = ["| | seconds down | more than stop and start alone |", "| --- | ---: | ---: |"]
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        lines.append(f"| {name} | {median:.1f} ({min(seconds):.1f}–{max(seconds):.1f}) | {median - own:+.1f} |")
    return lines
