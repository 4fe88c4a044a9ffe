"""Whoever looks at a command that waits is told what for, and for how long at most."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fakes.stack import FakeStack
from propolis.backup.steps import CHECK_SECONDS
from propolis.command import waiting
from propolis.errors import PropolisError
from propolis.run import SilentObserver


class Notes(SilentObserver):
    """Remembers notes, and when they came."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def hung(fake_stack: FakeStack) -> Iterator[FakeStack]:
    """TheHive accepts connections and never answers."""
    fake_stack.tell("thehive", "hangs")
    yield fake_stack
    fake_stack.forget("thehive", "hangs")


def test_a_thehive_that_hangs_is_told_at_once_and_nothing_is_stopped_after_a_short_wait(
    hung: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CHECK_SECONDS <= 30
    monkeypatch.setattr("propolis.backup.steps.CHECK_SECONDS", 3.0)
    monkeypatch.setattr(waiting, "AFTER", 0.2)
    monkeypatch.setattr(waiting, "EVERY", 0.5)
    pid, seen = (hung.root / "run/thehive.pid").read_text(), Notes()
    with pytest.raises(PropolisError, match="TheHive"):
        hung.back_up(seen)
    url = hung.config.require_thehive().url
    assert seen.notes[0] == f"waiting for TheHive at {url} (at most 3 s)"
    assert seen.notes[1].startswith(f"waiting for TheHive at {url} (at most 3 s), for ")
    assert (hung.root / "run/thehive.pid").read_text() == pid


def test_what_answers_at_once_is_not_mentioned(fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AFTER", 15.0)
    seen = Notes()
    fake_stack.back_up(seen)
    assert not [note for note in seen.notes if "waiting" in note]


def test_a_service_that_takes_long_to_start_is_told_too(
    fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "AFTER", 0.2)
    fake_stack.tell("index", "slow", "1")
    seen = Notes()
    fake_stack.back_up(seen)
    fake_stack.forget("index", "slow")
    assert f"waiting for the index at {fake_stack.config.elasticsearch.url} (at most 20 s)" in seen.notes  # type: ignore[union-attr]
