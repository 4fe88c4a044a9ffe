"""Watermarks as people write them, and what a server's answers say about writes."""

import pytest

from propolis.stack.index.writes import Room, bytes_of, free_at, is_set

GIB = 2**30


@pytest.mark.parametrize(
    ("watermark", "free"),
    [("90%", 10 * GIB), ("0.95", 5 * GIB), ("85.5%", 14.5 * GIB), ("20gb", 20 * GIB), ("500mb", 500 * 2**20)],
)
def test_a_watermark_is_read_in_every_way_of_writing_it(watermark: str, free: float) -> None:
    assert free_at(watermark, 100 * GIB) == pytest.approx(free)


@pytest.mark.parametrize("watermark", ["", "much", "1.2.3%", "-"])
def test_one_that_can_not_be_read_counts_as_the_servers_default(watermark: str) -> None:
    assert free_at(watermark, 100 * GIB) == pytest.approx(10 * GIB)


def test_nothing_but_a_size_is_a_size() -> None:
    assert bytes_of("1.5gb") == int(1.5 * GIB)
    assert [bytes_of(text) for text in ("-1", "", "90%", "1.2.3gb")] == [None] * 4


def test_room_is_what_is_above_the_watermark() -> None:
    assert Room(free=11, needed=10).enough
    assert not Room(free=10, needed=10).enough


def test_settings_come_as_text_or_as_truth() -> None:
    assert [is_set(value) for value in ("true", True, "false", False, None)] == [True, True, False, False, False]
