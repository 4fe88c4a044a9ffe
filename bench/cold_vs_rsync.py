"""How long services are down, and how many bytes are copied meanwhile: Propolis's clone against `rsync -aW`.

The vendor's guides stop the services, `rsync -aW` their folders into a dated one, and start them again. Propolis
clones the folders and copies bytes once the services run again. Both do here what they do *while services are down*,
on the same folders and the same disk, taking turns; both are timed until the disk has everything (sync).

    python -m bench.cold_vs_rsync --folder /var/tmp/bench

The data is made once and kept in FOLDER/data for the next run (remove it by hand). With `--lab` the whole downtime is
measured too, on real servers (`bench.lab_downtime`). Results go to bench/results/.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import data as bench_data
from bench.lab_downtime import downtime
from bench.machine import filesystem, machine
from propolis import __version__
from propolis.clone import CloneReport, clone, drop, place, probe, settle
from propolis.clone.base import Immutable
from propolis.stack.database import files as database
from propolis.stack.files import store as files
from propolis.stack.index import files as index
from propolis.stack.model import nothing_immutable

RESULTS = Path(__file__).parent / "results"
MIB = 1 << 20


@dataclass(frozen=True)
class Round:
    """What one way took once. `synced` includes writing everything to disk."""

    seconds: float
    synced: float
    copied: int


def rules(data: bench_data.Data) -> dict[Path, Immutable]:
    """Say by which rule each folder is cloned: the same as in a backup."""
    return {
        data.database: database.immutable,
        data.commitlog: nothing_immutable,
        data.index: index.immutable,
        data.files: files.immutable,
        data.config: nothing_immutable,
    }


def by_rsync(data: bench_data.Data, target: Path) -> Round:
    """Copy every folder as the guides do, one after another, into a new folder."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    os.sync()
    copied = 0
    started = time.perf_counter()
    for folder in data.folders():
        destination = target / folder.relative_to(data.root)
        destination.mkdir(parents=True)
        told = subprocess.run(
            ["rsync", "-aW", "--stats", f"{folder}/", f"{destination}/"], check=True, capture_output=True, text=True
        ).stdout
        found = re.search(r"Total transferred file size: ([\d,]+)", told)
        assert found, told
        copied += int(found[1].replace(",", ""))
    seconds = time.perf_counter() - started
    os.sync()
    synced = time.perf_counter() - started
    shutil.rmtree(target)
    return Round(seconds, synced, copied)


def by_clone(data: bench_data.Data) -> Round:
    """Clone every folder, one after another, as a backup does while services are down."""
    for folder in data.folders():
        settle(folder)
    os.sync()
    reports: list[CloneReport] = []
    started = time.perf_counter()
    for folder, immutable in rules(data).items():
        reports.append(clone(folder, place(folder, "bench"), immutable))
    seconds = time.perf_counter() - started
    os.sync()
    synced = time.perf_counter() - started
    for report in reports:
        drop(report.clone)
    return Round(seconds, synced, sum(report.bytes_copied for report in reports))


def copying(folder: Path, rounds: int, megabytes: int, attachments: int) -> str:
    """Part one: what is done while services are down. Returns a Markdown section."""
    root = folder / "data"
    if not root.exists():
        bench_data.make(root, megabytes=megabytes, files=attachments)
    data = bench_data.Data.at(root)
    counts = [bench_data.count(part) for part in data.folders()]
    method = probe(data.files)
    ways: dict[str, Callable[[], Round]] = {
        "rsync -aW": lambda: by_rsync(data, folder / "rsync"),
        f"Propolis ({method})": lambda: by_clone(data),
    }
    taken: dict[str, list[Round]] = {name: [] for name in ways}
    for number in range(rounds):
        # In turns, and each way first every other time, so that a busy machine treats both alike.
        for name in list(ways) if number % 2 == 0 else list(reversed(ways)):
            taken[name].append(ways[name]())
            print(f"round {number + 1}, {name}: {taken[name][-1]}", flush=True)
    lines = [
        f"## Copied and waited for while services are down, {filesystem(folder)}",
        "",
        f"{sum(size for _, size in counts) / 2**30:.2f} GiB in {sum(number for number, _ in counts)} files "
        f"(database, commit log, index, attachments, configuration); {rounds} rounds in turns, medians (least–most).",
        "",
        "| while services are down | MiB copied | seconds | seconds, with sync |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, results in taken.items():
        lines.append(
            f"| {name} | {results[0].copied / MIB:.1f} "
            f"| {_spread([one.seconds for one in results])} | {_spread([one.synced for one in results])} |"
        )
    theirs, ours = taken.values()
    quicker = _median(one.seconds for one in theirs) / _median(one.seconds for one in ours)
    with_sync = _median(one.synced for one in theirs) / _median(one.synced for one in ours)
    fewer = f"{theirs[0].copied / ours[0].copied:.0f}×" if ours[0].copied else "all saved"
    lines += [
        f"| **ratio** | **{fewer}** | **{quicker:.0f}×** | **{with_sync:.0f}×** |",
        "",
    ]
    return "\n".join(lines)


def _median(seconds: Iterable[float]) -> float:
    return statistics.median(seconds)


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"


def main() -> None:
    """Run the parts that were asked for and write one page of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where to work: the disk that is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=3200)
    parser.add_argument("--attachments", type=int, default=20_000)
    parser.add_argument("--lab", action="store_true", help="also measure whole backups of real servers")
    parser.add_argument("--only-lab", action="store_true", help="measure nothing else")
    wanted = parser.parse_args()
    if not shutil.which("rsync"):
        parser.error("rsync is missing: install Debian's package rsync")
    wanted.folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    rsync = subprocess.run(["rsync", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    folder = wanted.folder.resolve()
    sections = [
        "# A cold backup's downtime against rsync",
        "",
        f"{now:%Y-%m-%d %H:%M} UTC, {machine()}; Propolis {__version__}, rsync {rsync}.",
        "",
    ]
    sizes = (wanted.rounds, wanted.megabytes, wanted.attachments)
    if not wanted.only_lab:
        sections.append(copying(folder, *sizes))
    if wanted.lab or wanted.only_lab:
        sections.append(downtime(folder, *sizes))
    RESULTS.mkdir(exist_ok=True)
    what = "downtime-lab" if wanted.only_lab else "cold-vs-rsync"
    page = RESULTS / f"{what}-{filesystem(folder)}-{now:%Y%m%d}.md"
    page.write_text("\n".join(sections), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
