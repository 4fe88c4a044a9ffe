"""Downtime from end to end on real servers, seen from outside: stop and start alone, `propolis backup --cold`, rsync.

Part two of `bench.cold_vs_rsync`. Cassandra, Elasticsearch and the TheHive stand-in run as the lab starts them; a
watcher asks TheHive twenty times a second whether it answers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.downtime import grow, rsync, size_of, table, take_turns
from propolis.config.load import load
from propolis.stack.stack import folders
from propolis_lab.lab import Lab, Options


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
    grow(lab.layout.attachments / "attachment", megabytes, files)
    config = lab.root / "etc/propolis/propolis.yaml"
    _propolis("init", "--root", lab.root, "--repository", work / "repository", "--name", "bench")
    _propolis("repository", "init", "--config", config, "--recovery-key", work / "recovery.key")
    stopped = [tree.path for tree in folders(load(config))]
    size = size_of(stopped)
    peaks: dict[str, int] = {}
    ways: dict[str, Callable[[], None]] = {
        "the services' own stop and start": lambda: _around(lab, lambda: None),
        "`propolis backup --cold`": lambda: _record(peaks, "backup", "backup", "--quiet", "--config", config),
        "stop, `rsync -aW`, start": lambda: _around(lab, lambda: rsync(stopped, work / "rsync")),
    }
    taken = take_turns(ways, rounds, lab.thehive_url, work / "rsync")
    lines = [
        "## Downtime of a whole backup, seen from outside",
        "",
        f"Cassandra {lab.options.cassandra}, {lab.options.index}, TheHive stand-in on one host; "
        f"{size}; "
        f"{rounds} rounds in turns, medians (least–most).",
        "",
        *table(taken),
    ]
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
