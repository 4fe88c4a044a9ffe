"""Numbers and findings as people read them."""

from __future__ import annotations

from propolis.report.units import about, counted


def test_one_thing_is_not_called_several() -> None:
    assert counted(1, "backup") == "1 backup"
    assert (counted(0, "backup"), counted(2, "backup")) == ("0 backups", "2 backups")


def test_an_object_is_named_once() -> None:
    assert about("packs/aa/1 is damaged", "packs/aa/1") == "packs/aa/1 is damaged"
    assert about("It is missing", "packs/aa/1") == "It is missing (packs/aa/1)"
    assert (
        about("It is missing", "packs/aa/1", "affects 2 files: a, b")
        == "It is missing (packs/aa/1; affects 2 files: a, b)"
    )
    assert (
        about("packs/aa/1 is damaged", "packs/aa/1", "affects 1 file: a")
        == "packs/aa/1 is damaged (affects 1 file: a)"
    )
