"""Journals whose lines are valid, and say what can't be."""

import json
from pathlib import Path
from typing import Any

import pytest

from fakes.stack import FakeStack
from propolis.errors import PropolisError, ServicesDownError
from propolis.run import UnreadableJournal


def left(stack: FakeStack, *lines: dict[str, Any]) -> Path:
    path = stack.journals / "20991231T000000Z-aaaaaa.jsonl"
    path.write_text("".join(json.dumps({"at": "2099-12-31T00:00:00Z", **line}) + "\n" for line in lines))
    return path


def promised(stack: FakeStack, **more: Any) -> dict[str, Any]:
    platform = stack.config.platform.model_dump(mode="json")
    return {"event": "promise", "promise": {"platform": platform, "seconds": 5, **more}}


@pytest.mark.parametrize("where", ["nonsense", ":9000", "localhost:99999", "localhost:²"])
def test_a_promise_with_no_address_is_one_clear_error(fake_stack: FakeStack, where: str) -> None:
    fake_stack.platform.stop("thehive")
    promise = promised(fake_stack, services=["thehive"], addresses={"thehive": where})
    journal = left(fake_stack, {"event": "begin", "format": 99}, promise)
    try:
        with pytest.raises(ServicesDownError, match="is not an address"):
            fake_stack.recover()
        assert fake_stack.is_running("thehive"), "it was started all the same"
    finally:
        journal.unlink()


def test_a_service_that_only_a_newer_version_knows_is_not_passed_over(fake_stack: FakeStack) -> None:
    journal = left(fake_stack, {"event": "begin", "format": 99}, promised(fake_stack, services=["cortex"]))
    try:
        with pytest.raises(ServicesDownError, match="cortex"):
            fake_stack.recover()
    finally:
        journal.unlink()


def test_a_step_that_the_journal_does_not_have_keeps_nothing_down(fake_stack: FakeStack) -> None:
    fake_stack.platform.stop("thehive")
    begin = json.loads(fake_stack.newest_journal().read_text().splitlines()[0])
    lines = [begin, promised(fake_stack, services=["thehive"]), {"event": "before", "step": 700}]
    journal = left(fake_stack, *lines)
    try:
        with pytest.raises(PropolisError, match="the run has no step 700") as caught:
            fake_stack.recover()
        assert isinstance(caught.value, UnreadableJournal)
        assert fake_stack.is_running("thehive")
    finally:
        journal.unlink()
