"""Downtime of a cluster's cold backup, seen from outside: through the coordinator, and host by host with rsync.

    python -m bench.cluster_downtime --folder /var/tmp/bench

Three nodes of Cassandra and of the index and the TheHive stand-in, each on a host of its own in folders of this
machine. A watcher asks TheHive twenty times a second. By hand, somebody stops the services host by host, copies every
folder with `rsync -aW`, and starts them host by host: the next database once the one before accepts connections. The
index answers only once most of its nodes run, so those are waited for together. Propolis works on all hosts at once.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench.downtime import grow, rsync, size_of, table, take_turns
from bench.machine import filesystem, machine
from propolis import __version__
from propolis.config.load import load
from propolis.stack.stack import folders
from propolis_lab.lab import Cluster, Options, spread
from propolis_lab.servers import answers, cql

RESULTS = Path(__file__).parent / "results"


def propolis(*arguments: object) -> None:
    """Run it; it must succeed."""
    subprocess.run([sys.executable, "-m", "propolis", *map(str, arguments)], check=True)


def host_by_host(cluster: Cluster, work: Callable[[], None]) -> None:
    """Stop TheHive and every node, one after another, do the work, and start them one after another."""
    for lab in (cluster.hive, *cluster.nodes.values()):
        lab.stop_all()
    work()
    for lab in cluster.nodes.values():
        lab.start("database")
        answers.until(partial(_accepts, lab.address), f"the database at {lab.address}")
        lab.start("index")
    cluster.wait_for_stores()
    cluster.hive.start_all()


def _accepts(address: str) -> bool:
    with socket.create_connection((address, cql.PORT), timeout=5):
        return True


def measure(cluster: Cluster, work: Path, rounds: int, megabytes: int, files: int) -> str:
    """Take turns; returns a Markdown section."""
    grow(cluster.hive.layout.attachments / "attachment", megabytes, files)
    config = spread.set_up(cluster, str(work / "repository"), "bench")
    spread.register(cluster, work / "recovery.key", propolis)
    stopped = [tree.path for lab in cluster.hosts.values() for tree in folders(load(spread.config_of(lab)))]
    size = size_of(stopped)
    ways: dict[str, Callable[[], None]] = {
        "stop and start, host by host": lambda: host_by_host(cluster, lambda: None),
        "`propolis backup --cold` on the coordinator": lambda: propolis("backup", "--cold", "-q", "--config", config),
        "stop, `rsync -aW`, start: host by host": lambda: host_by_host(
            cluster, lambda: rsync(stopped, work / "rsync")
        ),
    }
    taken = take_turns(ways, rounds, cluster.hive.thehive_url, work / "rsync")
    options = cluster.options
    lines = [
        f"Cassandra {options.cassandra} and {options.index} with {options.nodes} nodes each, TheHive stand-in; "
        f"{len(cluster.hosts)} hosts in folders of this machine, which share its processors and its disk; "
        f"{size}; "
        f"{rounds} rounds in turns, medians (least–most).",
        "",
        *table(taken),
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write one page of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where to work: the disk that is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=1600)
    parser.add_argument("--attachments", type=int, default=10_000)
    wanted = parser.parse_args()
    if not shutil.which("rsync"):
        parser.error("rsync is missing: install Debian's package rsync")
    work = wanted.folder.resolve() / "cluster"
    work.mkdir(mode=0o755, parents=True)
    now = datetime.now(UTC)
    tool = subprocess.run(["rsync", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    page = RESULTS / f"downtime-cluster-{filesystem(wanted.folder)}-{now:%Y%m%d}.md"
    heading = [
        "# Downtime of a cluster's cold backup",
        "",
        f"{now:%Y-%m-%d %H:%M} UTC, {machine()}; Propolis {__version__}, rsync {tool}.",
        "",
    ]
    try:
        with Cluster.up(work / "hosts", Options(nodes=3, cases=50, attachments=200), say=print) as cluster:
            section = measure(cluster, work, wanted.rounds, wanted.megabytes, wanted.attachments)
    finally:
        shutil.rmtree(work)
    page.write_text("\n".join([*heading, section]), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
