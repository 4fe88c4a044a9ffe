"""What a job is said to have taken, and records that were cut short."""

import sys
from pathlib import Path

import pytest
from bench.measure import Record, read_record, run
from bench.places import Place
from bench.tools import Job

from propolis.errors import ConfigError
from propolis_lab.errors import LabError
from unit.bench.measurements import ABOUT, ONE

MIB = 1 << 20


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-c", code, *arguments]


def needs(mebibytes: int) -> list[str]:
    return python(f"import sys; all = bytearray(b'x') * ({mebibytes} << 20); sys.stdin.read(); print(len(all) >> 20)")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("folder", tmp_path)


def test_the_peak_is_the_job_s_and_not_that_of_who_measures(place: Place) -> None:
    ballast = bytearray(b"x") * (300 * MIB)
    taken = run("job", Job([[needs(100)]], place.root), place, place.root, drop_caches=False)
    assert len(ballast) == 300 * MIB
    assert 100 * MIB < taken.peak < 140 * MIB


def test_peaks_of_a_pipe_are_added_and_of_stages_the_largest_counts(place: Place) -> None:
    output = place.root / "output"
    pipe = [needs(50), needs(70)]
    taken = run("job", Job([[needs(10)], pipe], place.root, output=output), place, place.root, drop_caches=False)
    assert 120 * MIB < taken.peak < 200 * MIB
    assert output.read_text() == "70\n"


def test_seconds_of_the_processor_include_those_of_children(place: Place) -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {burn!r}], check=True)"
    taken = run("job", Job([[python(code)]], place.root), place, place.root, drop_caches=False)
    assert 0.5 <= taken.cpu < 5
    assert taken.unsynced <= taken.seconds


def test_a_job_sees_only_its_own_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTIC_REPOSITORY", "/somebody/else")
    output = place.root / "output"
    code = "import os; print(os.environ.get('RESTIC_REPOSITORY'), os.environ['HOME'], os.environ['MINE'])"
    job = Job([[python(code)]], place.root, {"MINE": "yes"}, output)
    run("job", job, place, place.root, drop_caches=False)
    assert output.read_text() == f"None {place.root} yes\n"


def test_a_failed_job_is_named_with_the_end_of_what_it_said(place: Place) -> None:
    lost = python("import sys; sys.stdout.write('x' * 10_000_000)")
    fails = python("import sys; sys.exit('the disk is full')")
    with pytest.raises(LabError, match=r"^job failed: it ended with 1, .*GB are free(.|\n)*the disk is full"):
        run("job", Job([[lost, fails]], place.root), place, place.root, drop_caches=False)


def test_a_record_that_was_cut_short_tells_what_is_whole(tmp_path: Path) -> None:
    with Record(tmp_path / "record.jsonl") as record:
        record.add(ABOUT)
        record.add(ONE)
        record.add(ONE)
        assert record.count == 2
    text = record.path.read_bytes()
    record.path.write_bytes(text[:-10])
    assert read_record(record.path) == (ABOUT, [ONE])


@pytest.mark.parametrize("text", ["", '{"line":"measurement"}\n', "no JSON\n", '{"line":"else"}\n'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"record\.jsonl"):
        read_record(path)
