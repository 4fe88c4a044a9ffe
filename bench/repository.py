"""The repository's engine beside restic, borg, `tar | zstd | age`, `cp -r` and more, in one run, taking turns.

    python -m bench.repository --folder /var/tmp/bench                       # 6.2 GB, 3 rounds: most of an hour
    python -m bench.repository --folder /var/tmp/bench --gigabytes 0.3 --rounds 1 --results /tmp     # to try it
    python -m bench.repository --folder /var/tmp/bench --files 1000000       # very many small files
    python -m bench.repository --report bench/results/repository-….jsonl     # the page of an interrupted run

Each measurement is written to a file of JSON lines at once, and at the end a page of Markdown beside it. All that a
run makes lies below FOLDER and is removed at its end, but for the data, which the next run takes again.
"""

from __future__ import annotations

import argparse
import fcntl
import filecmp
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import corpus as bench_corpus
from bench.corpus import Corpus
from bench.machine import filesystem, machine
from bench.measure import About, Measurement, Record, can_drop_caches, read_record, run
from bench.page import page
from bench.places import Place, PlaceName, end_left_over, place
from bench.tools import OPERATIONS, TOOLS, Setting, Tool
from propolis.errors import BusyError, IntegrityError, PreflightError, PropolisError, UsageError
from propolis_lab import interrupts
from propolis_lab.programs import go

RESULTS = Path(__file__).parent / "results"
_PLACES: tuple[PlaceName, ...] = ("folder", "minio")
_MORE_PLACES: tuple[PlaceName, ...] = ("ssh",)
_USUAL = ("propolis", "restic", "borg", "tar", "cp", "mc")
_SAMPLE = 50
"""Of the files restored, every so many-th is compared with its original."""


@dataclass(frozen=True)
class Wanted:
    """What to measure."""

    folder: Path
    rounds: int
    operations: tuple[str, ...]
    places: tuple[PlaceName, ...]
    tools: tuple[str, ...]
    drop_caches: bool


class Run:
    """One run: every round, in every place, every tool does the same in turn."""

    def __init__(self, wanted: Wanted, corpus: Corpus, tools: Sequence[Tool], record: Record) -> None:
        self._wanted, self._corpus, self._tools, self._record = wanted, corpus, tools, record
        self._root = wanted.folder / "run"

    def all(self) -> None:
        """Measure everything."""
        for number in range(1, self._wanted.rounds + 1):
            for name in self._wanted.places:
                with (
                    _new_folder(self._root),
                    place(name, self._root / name, [tool.name for tool in self._tools]) as where,
                ):
                    self._round(number, where)

    def _round(self, number: int, where: Place) -> None:
        tools = [tool for tool in self._tools if where.name in tool.places]
        settings = {tool.name: self._prepare(tool, where) for tool in tools}
        # Another tool first in each round and for each operation, so that a busy machine treats all alike.
        for turn, operation in enumerate(self._wanted.operations, number):
            order = tools[turn % len(tools) :] + tools[: turn % len(tools)]
            if operation == "new":
                with bench_corpus.changed(self._corpus):
                    self._operation(number, operation, order, settings)
            else:
                self._operation(number, operation, order, settings)

    def _prepare(self, tool: Tool, where: Place) -> Setting:
        work = self._root / f"work-{tool.name}"
        work.mkdir(mode=0o700)
        where.prepare(tool.name)
        setting = Setting(where, self._corpus.folder, self._root / "restored", work)
        job = tool.job("init", setting)
        if job is not None:
            run(f"{tool.name}, init", job, where, self._scratch(), drop_caches=False)
        return setting

    def _operation(self, number: int, operation: str, tools: Sequence[Tool], settings: dict[str, Setting]) -> None:
        for tool in tools:
            setting = settings[tool.name]
            job = tool.job(operation, setting)
            if job is None:
                continue
            where = setting.place
            drop = self._wanted.drop_caches
            taken = run(f"{tool.name}, {operation}", job, where, self._scratch(), drop_caches=drop)
            measurement = Measurement(
                round=number,
                place=where.name,
                operation=operation,
                tool=tool.name,
                seconds=taken.seconds,
                unsynced=taken.unsynced,
                cpu=taken.cpu,
                peak=taken.peak,
                size=where.size(tool.name),
                server_cpu=taken.server_cpu,
                others_cpu=taken.others_cpu,
            )
            if operation == "restore":
                require_same(self._corpus, setting.target, tool.name)
                shutil.rmtree(setting.target)
            self._record.add(measurement)
            print(
                f"round {number}, {where.name}, {operation}, {tool.name}: {taken.seconds:.2f} s, "
                f"CPU {taken.cpu:.2f} s, peak {taken.peak / 1e6:.0f} MB",
                flush=True,
            )

    def _scratch(self) -> Path:
        scratch = self._root / "scratch"
        scratch.mkdir(mode=0o700, exist_ok=True)
        return scratch


def require_same(corpus: Corpus, restored: Path, tool: str) -> None:
    """Raise IntegrityError unless all files are there in full length, and a sample of them byte for byte."""
    number = 0
    for where, _, names in os.walk(corpus.folder):
        for name in names:
            path = Path(where) / name
            twin = restored / path.relative_to(corpus.folder)
            same = twin.is_file() and twin.stat().st_size == path.stat().st_size
            if same and number % _SAMPLE == 0:
                same = filecmp.cmp(path, twin, shallow=False)
            if not same:
                raise IntegrityError(f"{tool} restored {path.relative_to(corpus.folder)} wrongly")
            number += 1


@contextmanager
def _new_folder(root: Path) -> Iterator[None]:
    """A folder for the time of a block; one that a killed run left is removed first."""
    _remove(root)
    root.mkdir(mode=0o755)
    try:
        yield
    finally:
        with interrupts.put_off():
            _remove(root)


def _remove(root: Path) -> None:
    for name in _PLACES:
        end_left_over(root / name)
    if root.exists():
        shutil.rmtree(root)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raise BusyError when another run works in the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"Another run works in {folder}", next="Wait for it, or choose another folder") from None
        yield
    finally:
        os.close(descriptor)


def require_room(folder: Path, size: int, files: int, tools: int) -> None:
    """Raise PreflightError unless the data, what each tool keeps of it and what is restored fit."""
    needed = round(size * 1.1 * (2 + tools)) + 500_000_000
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PreflightError(
            f"{folder} has {free / 1e9:.1f} GB free, and the run needs some {needed / 1e9:.1f} GB",
            left="Nothing was made",
            next="Choose another --folder, fewer --tools or fewer --gigabytes",
        )
    if os.statvfs(folder).f_favail < 3 * files:
        raise PreflightError(f"{folder} has room for too few more files", next="Choose another --folder")


def measure(
    wanted: Wanted, results: Path, scenario: str, make: Callable[[], Corpus], size: int, files: int
) -> tuple[Path, Path]:
    """Measure what is wanted; returns the record and the page."""
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with _alone(wanted.folder):
        _remove(wanted.folder / "run")
        tools = [tool for tool in (TOOLS[name]() for name in wanted.tools) if set(tool.places) & set(wanted.places)]
        for name in wanted.places:
            if not any(name in tool.places for tool in tools):
                raise UsageError(f"None of --tools {','.join(wanted.tools)} can keep its data in --places {name}")
        # One place after another; cp keeps nothing.
        keeping = max(sum(name in tool.places and tool.name != "cp" for tool in tools) for name in wanted.places)
        require_room(wanted.folder, size, files, keeping)
        versions = {tool.name: tool.version for tool in tools}
        if "minio" in wanted.places:
            go.build(go.MINIO)
            versions["MinIO"] = go.MINIO.version
        print("Making the data, or taking what was made before", flush=True)
        corpus = make()
        now = datetime.now(UTC)
        about = About(
            scenario=scenario,
            started=f"{now:%Y-%m-%d %H:%M}",
            machine=machine(),
            filesystem=filesystem(wanted.folder),
            data=f"{corpus.bytes / 1e9:.2f} GB in {corpus.files} files ({corpus.what}, digest {corpus.digest})",
            versions=versions,
            caches_dropped=wanted.drop_caches,
            rounds=wanted.rounds,
        )
        results.mkdir(parents=True, exist_ok=True)
        stem = "repository" if scenario == "deployment" else f"repository-{scenario}"
        path = results / f"{stem}-{about.filesystem}-{now:%Y%m%d-%H%M}.jsonl"
        with Record(path) as record:
            record.add(about)
            try:
                Run(wanted, corpus, tools, record).all()
            except (PropolisError, OSError, KeyboardInterrupt):
                if record.count:
                    print(f"\n{record.count} measurements are kept: --report {path} renders them", file=sys.stderr)
                else:
                    path.unlink()
                raise
    return path, write_page(path)


def write_page(record: Path) -> Path:
    """Render a record as a page beside it."""
    written = record.with_suffix(".md")
    written.write_text(page(*read_record(record)), encoding="utf-8")
    return written


def main() -> int:
    """Parse, measure, render. Returns the exit code."""
    parser, told = _parse()
    interrupts.raise_on(signal.SIGTERM, signal.SIGHUP)
    try:
        if told.report is not None:
            written = write_page(told.report)
        else:
            folder: Path = told.folder.resolve()
            drop = not told.keep_caches and can_drop_caches()
            if not (drop or told.keep_caches):
                print("Only root can empty the page cache: it is left as it is", flush=True)
            wanted = Wanted(folder, told.rounds, told.operations, told.places, told.tools, drop)
            if told.files:
                made = (lambda: bench_corpus.make_small_files(folder, told.files), told.files * 4096, told.files)
                _, written = measure(wanted, told.results, "small-files", *made)
            else:
                size = round(told.gigabytes * 1e9)
                making = (lambda: bench_corpus.make(folder, told.gigabytes), size, 25_000)
                _, written = measure(wanted, told.results, "deployment", *making)
    except PropolisError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{parser.prog}: {error.filename or told.folder}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; what the run had made is removed, but for the data", file=sys.stderr)
        return 130
    print(written.read_text(encoding="utf-8"))
    print(f"Written to {written}")
    return 0


def _parse() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.repository",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, help="where to work: the disk that is measured")
    parser.add_argument("--report", type=Path, metavar="FILE", help="only render a file of JSON lines")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results go (bench/results)")
    parser.add_argument("--gigabytes", type=float, default=bench_corpus.GIGABYTES, help="of data, 10⁹ bytes (6.2)")
    parser.add_argument("--files", type=int, metavar="N", help="instead: N files of 200 bytes to 2 KB")
    parser.add_argument("--rounds", type=int, help="3; with --files 1")
    _add_choice(parser, "--operations", tuple(OPERATIONS), "full is always done, the others need it")
    _add_choice(parser, "--places", (*_PLACES, *_MORE_PLACES), "folder and minio; with --files: folder")
    _add_choice(parser, "--tools", tuple(TOOLS), "all but rustic; with --files propolis and restic")
    parser.add_argument("--rustic", action="store_true", help="rustic, too: built first, which takes a while")
    parser.add_argument(
        "--keep-caches", action="store_true", help="don't empty the page cache before each operation (needs root)"
    )
    told = parser.parse_args()
    if (told.folder is None) == (told.report is None):
        parser.error("either --folder or --report is needed")
    if told.gigabytes < 0.05 or (told.rounds is not None and told.rounds < 1) or (told.files or 1) < 1:
        parser.error("--gigabytes is at least 0.05, --rounds and --files at least 1")
    small = bool(told.files)
    told.rounds = told.rounds or (1 if small else 3)
    told.places = told.places or (("folder",) if small else _PLACES)
    usual = told.tools or (("propolis", "restic") if small else _USUAL)
    usual += ("rustic",) if told.rustic and "rustic" not in usual else ()
    told.tools = usual
    chosen = told.operations or tuple(name for name in OPERATIONS if not small or name not in ("new", "prune"))
    if small and "new" in chosen:
        parser.error("--files has no operation new: it replaces a deployment's files")
    told.operations = tuple(name for name in OPERATIONS if name == "full" or name in chosen)
    return parser, told


def _add_choice(parser: argparse.ArgumentParser, name: str, known: tuple[str, ...], more: str) -> None:
    def chosen(text: str) -> tuple[str, ...]:
        names = tuple(part.strip() for part in text.split(",") if part.strip())
        if unknown := [part for part in names if part not in known]:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    parser.add_argument(name, type=chosen, metavar="A,B,…", help=f"of {', '.join(known)} ({more})")


if __name__ == "__main__":
    sys.exit(main())
