"""What a restore would replace on each of several hosts, as a person reads it before agreeing."""

import pytest

from propolis.report.review import show_reviews
from propolis.restore.measure import Measured
from propolis.restore.review import Review, StoreReview


def review(host: str, *stores: StoreReview, notes: tuple[str, ...] = ()) -> Review:
    return Review("b", "hive", "old", "2026-11-27T12:00:00Z", "hive", f"{host}.example", "", stores, notes)


def test_every_host_is_told_with_what_it_loses_and_whose_data_it_gets(capsys: pytest.CaptureFixture[str]) -> None:
    store = StoreReview("database", 7, 7000, Measured(3, 3000, 1, 1_700_000_000_000_000_000), in_place=True)
    laid = StoreReview("config", 1, 10, Measured(), in_place=False)
    reviews = {
        "hive": review("hive", laid),
        "new1": review("new1", store, notes=("The index x is newer.",)),
        "new2": review("new2"),
    }
    show_reviews(reviews, "Backup b replaces data on 3 hosts:", {"hive": "hive", "new1": "db1"}, "It is kept.")
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "Backup b replaces data on 3 hosts:"
    assert "hive (hive.example):" in told
    assert "new1 (new1.example), with what was backed up on db1:" in told
    assert any(
        "7 files" in line and "3 files" in line and "1 files, the newest at 2023-11-14" in line for line in told
    )
    assert any("not replaced" in line for line in told)
    assert "The index x is newer." in told
    assert told[told.index("new2 (new2.example):") + 1] == "  nothing"
    assert told[-1] == "It is kept."


def test_what_a_host_says_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x07evil"
    store = StoreReview(evil, 1, 1, Measured(), in_place=True)
    found = Review("b", evil, evil, evil, evil, evil, evil, (store,), (evil,))
    show_reviews({"db1": found}, "x", {"db1": evil}, "y")
    told = capsys.readouterr().err
    assert "evil" in told
    assert "\x1b" not in told
    assert "\x07" not in told
