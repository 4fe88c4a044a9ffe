"""The order of backups doesn't hang on one clock."""

import datetime
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.repository.catalog.chronicle import Placed, Told, is_behind, order

CREATED = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def chain(*days: float, ids: str = "abcdefghij", created: Any = CREATED) -> list[Told]:
    """Backups each made from the one before; days after the repository was made, as their clocks said."""
    told: list[Told] = []
    for id, day in zip(ids, days, strict=False):
        claimed = CREATED + day * DAY
        told.append(Told(id, claimed, claimed, told[-1].id if told else None))
    return told


def placed(told: list[Told], today: float, created: datetime.datetime | None = CREATED) -> list[Placed]:
    shuffled = list(told)
    random.Random(1).shuffle(shuffled)
    return order(shuffled, created, CREATED + today * DAY)


def shown(found: list[Placed]) -> str:
    """IDs, oldest first; of those whose clock was wrong, in capitals."""
    return "".join(place.id.upper() if place.doubt else place.id for place in found)


def test_where_no_clock_was_wrong_their_times_count() -> None:
    found = placed(chain(1, 2, 3), 4)
    assert shown(found) == "abc"
    assert [place.time for place in found] == [item.claimed for item in chain(1, 2, 3)]
    assert [place.remark for place in found] == ["", "", ""]


def test_one_of_the_future_is_where_it_was_made() -> None:
    found = placed(chain(1, 2, 3653, 3, 4), 5)
    assert shown(found) == "abCde"
    assert CREATED + 2 * DAY < found[2].time <= CREATED + 3 * DAY
    assert "2036" in found[2].remark
    assert "ahead" in found[2].remark


def test_one_of_the_future_is_found_before_anything_was_made_from_it() -> None:
    assert shown(placed(chain(1, 2, 3653), 3)) == "abC"
    assert shown(placed(chain(3653), 3)) == "A"


def test_one_of_1970_is_not_the_oldest() -> None:
    found = placed(chain(1, 2, -20_000, 3), 4)
    assert shown(found) == "abCd"
    assert found[2].doubt == "behind"
    assert shown(placed(chain(1, 2, -20_000), 4)) == "abC"


def test_a_clock_that_was_a_day_ahead_is_noticed_when_its_time_has_come() -> None:
    assert shown(placed(chain(1, 2, 4, 3, 3.5, 5), 9)) == "abCdef"


def test_many_of_one_parent_are_ordered_by_their_own_clocks() -> None:
    told = chain(1, 2, 3653)
    told += [Told(id, CREATED + day * DAY, None, "c") for id, day in (("d", 3), ("e", 4), ("f", 5))]
    assert shown(placed(told, 6)) == "abCdef"


def test_several_of_the_future_keep_their_order() -> None:
    assert shown(placed(chain(1, 2, 3653, 3654, 3655, 3), 4)) == "abCDEf"


def test_a_storage_with_a_clock_of_its_own_tells_when_it_was() -> None:
    stored = CREATED + 2.5 * DAY
    told = [*chain(1, 2), Told("c", CREATED + 3653 * DAY, stored, "b"), Told("d", CREATED + 3 * DAY, None, "c")]
    assert placed(told, 4)[2].time == stored


def test_a_date_that_contradicts_the_chain_is_not_believed() -> None:
    for wrong in (0.5, 3.5, 9999, -20_000):
        told = [
            *chain(1, 2),
            Told("c", CREATED + 3653 * DAY, CREATED + wrong * DAY, "b"),
            Told("d", CREATED + 3 * DAY, None, "c"),
        ]
        assert CREATED + 2 * DAY < placed(told, 4)[2].time <= CREATED + 3 * DAY


def test_a_parent_that_was_removed_still_tells_by_its_name() -> None:
    told = [
        Told("c", CREATED + 3653 * DAY, None, "20261103T000000Z-12345678"),
        Told("d", CREATED + 5 * DAY, None, "c"),
    ]
    assert placed(told, 6)[0].time == CREATED + 2 * DAY + datetime.timedelta(seconds=1)


def test_a_clock_that_was_set_back_a_little_is_no_wrong_clock() -> None:
    found = placed(chain(1, 2, 2 - 1 / 1440), 3)
    assert shown(found) == "abc"


def test_a_host_whose_own_clock_is_behind_does_not_take_all_for_the_future() -> None:
    told = chain(1, 2, 3)
    assert is_behind(told, CREATED, CREATED - 20_000 * DAY)
    assert shown(placed(told, -20_000)) == "abc"
    assert not is_behind(told, CREATED, CREATED + 4 * DAY)
    assert not is_behind(chain(3653), CREATED, CREATED + 4 * DAY)


def test_a_repository_that_was_made_in_the_future_does_not_make_all_wrong() -> None:
    assert shown(placed(chain(1, 2, 3), 4, CREATED + 3653 * DAY)) == "abc"


def test_most_backups_are_believed_more_than_when_the_repository_was_made() -> None:
    assert shown(placed(chain(-30, -20, -10), 4)) == "abc"


def test_those_that_name_each_other_in_a_circle_are_all_there() -> None:
    told = [Told("a", CREATED, None, "b"), Told("b", CREATED, None, "a"), Told("c", CREATED, None, "c")]
    assert sorted(shown(placed(told, 4)).lower()) == ["a", "b", "c"]


STEPS = st.lists(st.floats(0.01, 30), min_size=1, max_size=12)
WRONG = st.dictionaries(st.integers(0, 11), st.sampled_from([-20_000.0, 3653.0, 40_000.0]), max_size=3)


@given(STEPS, WRONG)
@settings(deadline=None)
def test_few_wrong_clocks_neither_change_the_order_nor_hide_themselves(steps: list[float], wrong: Any) -> None:
    days = [sum(steps[: number + 1]) for number in range(len(steps))]
    broken = {number for number in wrong if number < len(days)}
    if len(broken) * 2 >= len(days):
        return
    claims = [wrong.get(number, day) for number, day in enumerate(days)]
    ids = "abcdefghijkl"
    found = placed(chain(*claims, ids=ids), days[-1] + 1)
    assert [place.id for place in found] == list(ids[: len(days)])
    assert {ids.index(place.id) for place in found if place.doubt} == broken
    assert [place.time for place in found] == sorted(place.time for place in found)
    assert all(place.time <= CREATED + (days[-1] + 1) * DAY for place in found)


@given(
    st.lists(st.tuples(st.integers(-30_000, 50_000), st.integers(-1, 20), st.integers(-30_000, 50_000)), max_size=20)
)
@settings(deadline=None)
def test_whatever_is_told_each_is_placed_once_and_after_its_parent(items: list[tuple[int, int, int]]) -> None:
    told = [
        Told(str(number), CREATED + claimed * DAY, CREATED + stored * DAY, str(parent) if parent < number else None)
        for number, (claimed, parent, stored) in enumerate(items)
    ]
    found = [place.id for place in placed(told, 100)]
    assert sorted(found) == sorted(item.id for item in told)
    for item in told:
        if item.parent in found:
            assert found.index(item.parent) < found.index(item.id)
