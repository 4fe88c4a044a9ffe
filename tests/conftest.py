"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest
from coverage import Coverage
from hypothesis import settings

pytest_plugins = ["lab_fixtures", "fakes.fixtures"]

# No timing is asserted in a test, by hypothesis neither.
settings.register_profile("propolis", deadline=None)
settings.load_profile("propolis")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: two processes that take file after file then end at about the same time."""
    order = (
        "system/test_cluster",
        "test_killed_restore",
        "test_main_job",
        "test_killed_backup",
        "test_all_services",
        "tests/system",
        "tests/integration",
        "test_mutations",
        "test_prune_interleaved",
        "test_restore_without_propolis",
    )
    items.sort(key=lambda item: next((n for n, part in enumerate(order) if part in str(item.path)), len(order)))


@pytest.fixture
def unmeasured() -> Iterator[None]:
    """Without coverage, which takes half as long again: for a test that runs the same lines thousands of times."""
    measuring = Coverage.current()
    if measuring is not None:
        measuring.stop()
    yield
    if measuring is not None:
        measuring.start()
