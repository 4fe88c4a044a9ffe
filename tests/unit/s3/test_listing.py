"""A bucket's list takes a few bytes an object, and is found in by key, whatever its order."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from propolis.s3.listing import Keys, ObjectList, Texts
from propolis.s3.objects import ObjectMeta

KEYS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), unique=True)


def listed(count: int) -> Iterator[ObjectMeta]:
    for number in range(count):
        yield ObjectMeta(f"thehive/attachments/{number:064x}", number, f'"{number:032x}"', 10**18 + number)


def test_it_gives_what_was_listed_in_the_same_order() -> None:
    objects = [ObjectMeta("b", 1, '"x"', -5), ObjectMeta("a/ü", 2**40, "", 10**18), ObjectMeta("", 0)]
    held = ObjectList(objects)
    assert list(held) == objects
    assert list(held) == objects, "as often as it is asked"
    assert len(held) == 3
    assert held[1] == objects[1]


@given(keys=KEYS, asked=KEYS)
def test_a_key_is_found_in_any_order_of_adding_and_asking(keys: list[str], asked: list[str]) -> None:
    held = Keys(key.encode() for key in keys)
    for key in [*asked, *keys, *reversed(keys)]:
        number = held.find(key.encode())
        assert (number is not None) == (key in keys)
        assert number is None or keys[number] == key
        assert (key.encode() in held) == (key in keys)


@given(first=KEYS, more=KEYS)
def test_what_is_added_after_something_was_asked_is_found_too(first: list[str], more: list[str]) -> None:
    held = Keys(key.encode() for key in first)
    assert all(key.encode() in held for key in first)
    for key in more:
        held.append(key.encode())
    assert all(key.encode() in held for key in [*first, *more])
    assert list(held) == [key.encode() for key in [*first, *more]]


def test_texts_may_be_empty_and_alike() -> None:
    assert list(Texts([b"", b"a", b"", b"a"])) == [b"", b"a", b"", b"a"]
    assert list(Texts()) == []


def test_an_object_takes_little_more_than_its_key_and_etag() -> None:
    tracemalloc.start()
    try:
        held = ObjectList(listed(20_000))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    texts = sum(len(meta.key) + len(meta.etag) for meta in listed(len(held)))
    assert used < 1.3 * (texts + 32 * len(held)), "as Python objects it is four times as much"
