"""Whether targets are said to be met exactly when they are."""

import msgspec
import pytest
from bench.measure import Measurement
from bench.page import page
from bench.targets import DEPLOYMENT, MB, Target, outcome

from unit.bench.measurements import ABOUT, ONE

HALF = Target("full: ≤ 0.5 × restic's time", "full", "seconds", 0.5, "restic")
PEAK = Target("full: ≤ 256 MB at the peak", "full", "peak", 256 * MB)


def took(tool: str, *seconds: float, operation: str = "full", **more: float) -> list[Measurement]:
    return [
        msgspec.structs.replace(ONE, tool=tool, operation=operation, round=number, seconds=each, **more)
        for number, each in enumerate(seconds, 1)
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "met"),
    [((5,), (10,), True), ((5.1,), (10,), False), ((9, 4, 4), (10, 10, 10), True), ((4, 9, 9), (10, 10, 10), False)],
)
def test_the_median_of_the_rounds_ratios_decides(
    ours: tuple[float, ...], theirs: tuple[float, ...], met: bool
) -> None:
    found = outcome(HALF, took("propolis", *ours) + took("restic", *theirs))
    assert found is not None
    assert found.met is met


def test_only_rounds_that_both_have_are_compared() -> None:
    found = outcome(HALF, took("propolis", 1, 2, 100) + took("restic", 4, 4))
    assert found is not None
    assert (found.median, found.least, found.most) == (0.375, 0.25, 0.5)


def test_every_peak_counts() -> None:
    measured = [
        *took("propolis", 1, peak=100 * MB),
        *took("propolis", 1, peak=257 * MB),
        *took("restic", 1, peak=999 * MB),
    ]
    measured[1] = msgspec.structs.replace(measured[1], round=2)
    found = outcome(PEAK, measured)
    assert found is not None
    assert not found.met


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert outcome(HALF, took("propolis", 1)) is None
    assert outcome(HALF, took("restic", 1)) is None
    assert outcome(HALF, took("propolis", 1) + took("restic", 1, operation="restore")) is None


def test_the_page_says_met_and_missed_and_what_is_missing() -> None:
    measured = took("propolis", 4, 4, peak=10 * MB) + took("restic", 10, 10) + took("tar", 1, 1)
    text = page(ABOUT, measured)
    lines = text.splitlines()
    assert "| full: ≥ 2 × restic's speed | 0.40 × | met |" in lines
    assert r"| full: ≤ 1.3 × the time of `tar \| zstd -1 \| age` | 4.00 × | **missed** |" in lines
    assert "| full: ≤ 256 MB at the peak | 10 MB | met |" in lines
    assert "2 of 3 rounds" in text
    assert "restore: ≤ 1.3 × the time of `cp -r`" in next(line for line in lines if line.startswith("Not measured"))
    widths = {line.replace(r"\|", "").count("|") for line in lines if line.startswith("| full | ")}
    assert widths == {9}


def test_each_target_is_listed_once() -> None:
    assert len({target.text for target in DEPLOYMENT}) == len(DEPLOYMENT)
