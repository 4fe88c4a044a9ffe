"""Small objects are fetched before their turn, in bounds; what is wrong with one is told when its turn has come."""

import threading
from collections.abc import Generator

import pytest

from propolis.repository.storage.ahead import read_ahead
from propolis.repository.storage.base import MissingObjectError, Stored
from unit.repository.memory_storage import MemoryStorage


class Counting(MemoryStorage):
    """Counts what was asked for."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(objects)
        self.asked: list[str] = []

    def get(self, name: str, limit: int) -> memoryview:
        self.asked.append(name)
        return super().get(name, limit)


def listed(storage: MemoryStorage, size: int | None = None) -> list[Stored]:
    return [Stored(name, len(data) if size is None else size, 0) for name, data in storage.objects.items()]


def fetch_ahead(
    storage: MemoryStorage, wanted: list[Stored], limit: int
) -> Generator[tuple[str, memoryview], None, None]:
    for stored, found in read_ahead(wanted, lambda stored: storage.get(stored.name, limit)):
        yield stored.name, found.result()


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_all_come_in_order(count: int) -> None:
    storage = Counting({f"indexes/{number}": b"%d" % number for number in range(count)})
    found = [(name, bytes(data)) for name, data in fetch_ahead(storage, listed(storage), 100)]
    assert found == list(storage.objects.items())


def test_several_are_fetched_side_by_side() -> None:
    together = threading.Barrier(4, timeout=60)

    class Waiting(MemoryStorage):
        def get(self, name: str, limit: int) -> memoryview:
            together.wait()
            return super().get(name, limit)

    storage = Waiting({f"indexes/{number}": b"x" for number in range(8)})
    assert len(list(fetch_ahead(storage, listed(storage), 100))) == 8


def test_large_ones_are_fetched_when_their_turn_has_come() -> None:
    storage = Counting({f"indexes/{number}": b"x" for number in range(9)})
    for number, _ in enumerate(fetch_ahead(storage, listed(storage, size=1 << 30), 100)):
        assert len(storage.asked) <= number + 2


def test_what_is_wrong_is_told_in_turn_and_nothing_is_fetched_afterwards() -> None:
    storage = Counting({f"indexes/{number:02}": b"x" for number in range(30)})
    wanted = listed(storage)
    del storage.objects["indexes/02"]
    reading = fetch_ahead(storage, wanted, 100)
    assert [next(reading)[0], next(reading)[0]] == ["indexes/00", "indexes/01"]
    with pytest.raises(MissingObjectError, match="indexes/02"):
        next(reading)
    assert max(storage.asked) < "indexes/10"


def test_a_reader_that_stops_leaves_no_thread() -> None:
    storage = Counting({f"indexes/{number:02}": b"x" for number in range(30)})
    reading = fetch_ahead(storage, listed(storage), 100)
    next(reading)
    reading.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
