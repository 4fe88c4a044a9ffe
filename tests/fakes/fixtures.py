"""Fixtures of the stack on fake services.

- `fake_stack`: one for each module, running and with one backup when a test begins. A test may break it in every way;
  at its end the stack has to serve, with nothing left half done.
- `fake_hosts`: the same of a stack on several hosts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.hosts import FakeHosts
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


@pytest.fixture(scope="module")
def module_fake_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHosts]:
    with FakeHosts.up(tmp_path_factory.mktemp("hosts")) as hosts:
        hosts.back_up()
        yield hosts


@pytest.fixture
def fake_hosts(module_fake_hosts: FakeHosts) -> Iterator[FakeHosts]:
    yield module_fake_hosts
    module_fake_hosts.wait_until_recovered()
    module_fake_hosts.assert_serving()
    module_fake_hosts.assert_nothing_left()
