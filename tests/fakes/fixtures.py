"""Fixtures of the stack on fake services.

- `fake_stack`: one for each module, running and with one backup when a test begins. A test may break it in every way;
  at its end the stack has to serve, with nothing left half done.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.stack import FakeStack
from propolis.stack.asking import retry


@pytest.fixture(scope="module")
def module_fake_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStack]:
    folder = tmp_path_factory.mktemp("fake")
    with FakeStack.up(folder) as stack:
        stack.back_up()
        yield stack


@pytest.fixture
def fake_stack(module_fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStack]:
    monkeypatch.setattr(retry, "_PAUSE", 0.02)  # fake services answer at once
    yield module_fake_stack
    module_fake_stack.assert_serving()
    module_fake_stack.assert_nothing_left()
