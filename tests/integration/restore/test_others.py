"""What others make or write while a restore is under way is noticed, too: before services stop, and when they did."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.stack import ROLES, FakeStack
from propolis.errors import PreflightError
from propolis.run import Journal


@pytest.fixture
def neighbour(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], None]:
    """Lets a file be written right before a restore's step whose title begins so does anything."""
    real = Journal.before

    def writes(step: str, file: Path) -> None:
        awaited = stack.propolis.step("restore", step, "latest", "--identity", stack.key)

        def before(self: Journal, number: int) -> None:
            real(self, number)
            if number == awaited:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("a neighbour's")

        monkeypatch.setattr(Journal, "before", before)

    return writes


@pytest.fixture
def stack(fake_stack: FakeStack) -> Iterator[FakeStack]:
    """The stack, whose neighbours are gone at the end."""
    before = fake_stack.content()
    yield fake_stack
    shutil.rmtree(fake_stack.root / "cassandra/data/others", ignore_errors=True)
    shutil.rmtree(fake_stack.root / "elasticsearch/indices/cortex_6", ignore_errors=True)
    assert fake_stack.content() == before


def pids(stack: FakeStack) -> dict[str, str]:
    return {role: (stack.root / "run" / f"{role}.pid").read_text() for role in ROLES}


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("elasticsearch/indices/cortex_6/document", r"index cortex_6: it isn't TheHive's.*--replace-index cortex_6"),
        ("cassandra/data/others/things/row", r"keyspace others: it isn't TheHive's.*--replace-keyspace others"),
    ],
)
@pytest.mark.parametrize("step", ["", "fetch index/data"])
def test_what_is_made_before_services_stop_lets_them_run(
    stack: FakeStack, neighbour: Callable[[str, Path], None], step: str, file: str, told: str
) -> None:
    before = pids(stack)
    neighbour(step, stack.root / file)
    with pytest.raises(PreflightError, match=told) as caught:
        stack.restore()
    assert "Nothing was changed" in str(caught.value)
    assert pids(stack) == before
    assert (stack.root / file).read_text() == "a neighbour's"


def test_what_a_drained_database_first_writes_to_its_files_is_not_taken_away(
    stack: FakeStack, neighbour: Callable[[str, Path], None]
) -> None:
    file = stack.root / "cassandra/data/others/things/nb-1-big-Data.db"
    neighbour("check that the drained database", file)
    with pytest.raises(
        PreflightError, match="keyspace others: it isn't TheHive's and is not in the backup"
    ) as caught:
        stack.restore()
    assert "The data was not changed" in str(caught.value)
    assert file.read_text() == "a neighbour's"
    stack.assert_serving()
