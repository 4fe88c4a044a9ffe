"""The benchmark itself, with little data and the tools that are always there."""

import subprocess
import sys
from pathlib import Path

import bench.repository
import pytest
from bench.corpus import make_small_files
from bench.measure import read_record
from bench.repository import require_same

from propolis.errors import IntegrityError

ROOT = Path(bench.repository.__file__).parent.parent


def benchmark(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.repository", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_one_round_of_all_operations(tmp_path: Path) -> None:
    told = benchmark(
        *("--folder", tmp_path / "work", "--results", tmp_path / "results", "--gigabytes", "0.05", "--rounds", "1"),
        *("--places", "folder", "--tools", "propolis,cp", "--keep-caches"),
    )
    assert told.returncode == 0, told.stderr
    (record,) = (tmp_path / "results").glob("*.jsonl")
    _, measured = read_record(record)
    operations = [line.operation for line in measured if line.tool == "propolis"]
    assert operations == ["full", "nochange", "verify", "restore", "new", "prune"]
    assert [line.operation for line in measured if line.tool == "cp"] == ["restore"]
    by_operation = {line.operation: line for line in measured if line.tool == "propolis"}
    assert by_operation["full"].size > 30_000_000
    assert 1_000_000 < by_operation["new"].size - by_operation["nochange"].size < 4_000_000
    assert all(line.cpu > 0 and line.peak > 5_000_000 for line in by_operation.values())
    page = record.with_suffix(".md").read_text()
    assert page in told.stdout
    # Only the data is left.
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["data-0.05", "data-0.05.json"]
    record.with_suffix(".md").unlink()
    assert benchmark("--report", record).returncode == 0
    assert record.with_suffix(".md").read_text() == page


def test_a_repository_behind_an_sshd(tmp_path: Path) -> None:
    told = benchmark(
        *("--folder", tmp_path / "work", "--results", tmp_path / "results", "--gigabytes", "0.05", "--rounds", "1"),
        *("--places", "ssh", "--tools", "propolis", "--operations", "full,restore", "--keep-caches"),
    )
    assert told.returncode == 0, told.stderr
    (record,) = (tmp_path / "results").glob("*.jsonl")
    _, measured = read_record(record)
    assert [line.operation for line in measured] == ["full", "restore"]
    assert all(line.size > 30_000_000 and line.server_cpu > 0 for line in measured)


def test_what_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    told = benchmark(
        "--folder", tmp_path / "work", "--gigabytes", "900000", "--places", "folder", "--tools", "propolis"
    )
    assert told.returncode == 12
    assert "GB free, and the run needs some" in told.stderr
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "either --folder or --report is needed"),
        (("--folder", "x", "--tools", "restic,rsnapshot"), "there is no rsnapshot; there are propolis, restic"),
        (("--folder", "x", "--files", "10", "--operations", "new"), "--files has no operation new"),
        (("--report", "/nowhere/at/all.jsonl"), "/nowhere/at/all.jsonl can't be read"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[str, ...], said: str) -> None:
    told = benchmark(*arguments)
    assert told.returncode != 0
    assert said in told.stderr
    assert "Traceback" not in told.stderr


def test_a_place_that_no_tool_knows_is_named(tmp_path: Path) -> None:
    told = benchmark("--folder", tmp_path, "--tools", "tar,cp", "--places", "minio")
    assert told.returncode == 2
    assert "None of --tools tar,cp can keep its data in --places minio" in told.stderr


@pytest.mark.parametrize("how", ["missing", "short", "other"])
def test_a_wrong_restore_is_noticed(tmp_path: Path, how: str) -> None:
    corpus = make_small_files(tmp_path, 3)
    restored = make_small_files(tmp_path / "twin", 3).folder
    require_same(corpus, restored, "cp")
    first = next(path for path in restored.rglob("*") if path.is_file())
    if how == "missing":
        first.unlink()
    elif how == "short":
        first.write_bytes(first.read_bytes()[:-1])
    else:
        for path in restored.rglob("*.json"):
            path.write_bytes(path.read_bytes().translate(bytes(range(255, -1, -1))))
    with pytest.raises(IntegrityError, match=r"cp restored .* wrongly"):
        require_same(corpus, restored, "cp")
