"""Downtime from end to end on real servers, seen from outside: stop and start alone, `propolis backup --cold`, rsync.

Part two of `bench.cold_vs_rsync`. Cassandra, Elasticsearch and the TheHive stand-in run as the lab starts them; a
watcher asks TheHive twenty times a second whether it answers.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.data import MIB, Source, attachments, count
from propolis.config.load import load
from propolis.stack.stack import folders
from propolis_lab.lab import Lab, Options
from propolis_lab.proof.outside import Watcher


def downtime(folder: Path, rounds: int, megabytes: int, files: int) -> str:
    """Measure downtime and memory in a lab below `folder`, which is gone afterwards. Returns a Markdown section."""
    work = folder / "lab"
    work.mkdir(mode=0o755)
    try:
        with Lab.up(work / "host", Options(cases=200, attachments=2000), say=print) as lab:
            return _measure(lab, work, rounds, megabytes, files)
    finally:
        shutil.rmtree(work)


def _measure(lab: Lab, work: Path, rounds: int, megabytes: int, files: int) -> str:
    # The stand-in's own attachments are few; what makes a big host is many files that are simply there.
    grown = lab.layout.attachments / "attachment"
    owner = grown.stat()
    attachments(grown, megabytes * MIB, files, random.Random(1), Source("propolis 1"))
    for path in grown.iterdir():
        os.chown(path, owner.st_uid, owner.st_gid)
    config = lab.root / "etc/propolis/propolis.yaml"
    _propolis("init", "--root", lab.root, "--repository", work / "repository", "--name", "bench")
    _propolis("repository", "init", "--config", config, "--recovery-key", work / "recovery.key")
    stopped = [tree.path for tree in folders(load(config))]
    counts = [count(path) for path in stopped]
    peaks: dict[str, int] = {}
    ways: dict[str, Callable[[], None]] = {
        "the services' own stop and start": lambda: _around(lab, lambda: None),
        "`propolis backup --cold`": lambda: _record(peaks, "backup", "backup", "--quiet", "--config", config),
        "stop, `rsync -aW`, start": lambda: _around(lab, lambda: _rsync(stopped, work / "rsync")),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        names = list(ways)
        # In turns, and each time another first, so that a busy machine treats all alike.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            os.sync()
            with Watcher(lab.thehive_url) as watcher:
                # An outage counts if TheHive was seen to answer before it and after it.
                time.sleep(1)
                ways[name]()
                time.sleep(1)
            assert watcher.downtime > 0, "TheHive was not seen to go down and come back"
            taken[name].append(watcher.downtime)
            print(f"round {number + 1}, {name}: {watcher.downtime:.2f} s", flush=True)
            shutil.rmtree(work / "rsync", ignore_errors=True)
    own = statistics.median(taken["the services' own stop and start"])
    lines = [
        "## Downtime of a whole backup, seen from outside",
        "",
        f"Cassandra {lab.options.cassandra}, {lab.options.index}, TheHive stand-in on one host; "
        f"{sum(size for _, size in counts) / 2**30:.2f} GiB in {sum(number for number, _ in counts)} files; "
        f"{rounds} rounds in turns, medians (least–most).",
        "",
        "| | seconds down | more than stop and start alone |",
        "| --- | ---: | ---: |",
    ]
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        lines.append(f"| {name} | {median:.1f} ({min(seconds):.1f}–{max(seconds):.1f}) | {median - own:+.1f} |")
    key = ("--identity", work / "recovery.key", "--quiet", "--config", config)
    _record(peaks, "verify, all decrypted", "verify", "latest", *key)
    _record(peaks, "restore", "restore", "latest", "--yes", *key)
    lines += ["", "## Peak memory of Propolis on that data", "", "| command | MiB |", "| --- | ---: |"]
    lines += [f"| {name} | {peak / 1024:.0f} |" for name, peak in peaks.items()]
    return "\n".join([*lines, ""])


def _around(lab: Lab, work: Callable[[], None]) -> None:
    for service in ("thehive", "index", "database"):
        lab.platform.stop(service)
    work()
    lab.start_all()


def _rsync(folders: list[Path], target: Path) -> None:
    for folder in folders:
        destination = target / folder.relative_to("/")
        destination.mkdir(parents=True)
        subprocess.run(["rsync", "-aW", f"{folder}/", f"{destination}/"], check=True)


def _record(peaks: dict[str, int], name: str, *arguments: str | Path) -> None:
    """Run Propolis and keep the largest peak (KiB) seen under that name."""
    peaks[name] = max(peaks.get(name, 0), _propolis(*arguments))


def _propolis(*arguments: str | Path) -> int:
    """Run it; return its peak resident memory in KiB (getrusage(2): its own, or that of a larger child)."""
    child = subprocess.Popen([sys.executable, "-m", "propolis", *map(str, arguments)])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, ["propolis", arguments[0]])
    return usage.ru_maxrss
