"""TheHive's stores on other hosts: a recovery waits until they listen, since TheHive gives up on them for good."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from propolis.command import control
from propolis.command.control import ServiceControl
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import Config
from propolis.platform.base import ServiceState
from propolis.run import SilentObserver
from propolis.stack.thehive import server
from propolis.stack.thehive.elsewhere import Nodes, elsewhere
from propolis.stack.thehive.health import Health

NODES = ("127.66.0.1", "127.66.0.2", "127.66.0.3")


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path, port: int) -> Config:
    """TheHive's host: its file names three nodes of the database and, by their ports, three of the index."""
    file = tmp_path / "propolis.yaml"
    file.write_text(sample())
    loaded = load(file)
    named = ", ".join(f'"{node}"' for node in NODES)
    ported = ", ".join(f'"{node}:{port}"' for node in NODES)
    (tmp_path / "application.conf").write_text(
        f"db.janusgraph.storage {{ hostname = [{named}], port = {port} }}\n"
        f"db.janusgraph.index.search.hostname = [{ported}]\n"
    )
    thehive = loaded.require_thehive().model_copy(update={"config": tmp_path})
    timeouts = loaded.timeouts.model_copy(update={"start": 20.0})
    return loaded.model_copy(
        update={"host": "hive", "thehive": thehive, "database": None, "index": None, "timeouts": timeouts}
    )


@pytest.fixture
def listeners(port: int) -> Iterator[list[str]]:
    """Nodes that listen from now on, when they are appended."""
    stack = ExitStack()

    class Listening(list[str]):
        def append(self, node: str) -> None:
            stack.enter_context(socket.create_server((node, port)))

    with stack:
        yield Listening()


def test_the_nodes_are_those_of_thehives_own_file(config: Config, port: int) -> None:
    expected = tuple((node, port) for node in NODES)
    assert {nodes.service: nodes.addresses for nodes in elsewhere(config)} == {
        "database": expected,
        "index": expected,
    }


def test_more_than_half_of_them_must_listen(config: Config, listeners: list[str]) -> None:
    database, _ = elsewhere(config)
    assert not database.listen()
    listeners.append(NODES[2])
    assert not database.listen()
    listeners.append(NODES[0])
    assert database.listen()


def test_there_are_none_where_all_is_on_one_host_or_the_file_cannot_be_read(config: Config) -> None:
    assert elsewhere(config.model_copy(update={"host": None})) == ()
    (config.require_thehive().config / "application.conf").write_text("{{{")
    assert elsewhere(config) == ()


def test_a_recovery_starts_thehive_only_when_they_listen(
    config: Config, listeners: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, seen = threading.Event(), []

    class Platform:
        def services(self) -> tuple[str, ...]:
            return ("thehive",)

        def state(self, service: str) -> ServiceState:
            return ServiceState.STOPPED

        def start(self, service: str) -> None:
            seen.append([nodes.listen() for nodes in elsewhere(config)])

    really = Nodes.listen

    def listen(nodes: Nodes) -> bool:
        found = really(nodes)
        waits.set()
        return found

    monkeypatch.setattr(Nodes, "listen", listen)
    monkeypatch.setattr(control, "PAUSE_ELSEWHERE", 0.02)
    monkeypatch.setattr(control, "open_platform", lambda *_: Platform())
    monkeypatch.setattr(server, "answers", lambda *_: Health("ok", "", login_refused=False))
    services = ServiceControl(config, SilentObserver(), lambda _: None)
    recovery = threading.Thread(target=services.bring_back, args=(("thehive",),))
    recovery.start()
    assert waits.wait(20)
    assert seen == []
    for node in NODES:
        listeners.append(node)
    recovery.join(20)
    assert seen == [[True, True]]


def test_it_starts_thehive_all_the_same_when_they_never_do(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Platform:
        def state(self, service: str) -> ServiceState:
            return ServiceState.STOPPED

        def start(self, service: str) -> None:
            started.append(service)

    monkeypatch.setattr(control, "open_platform", lambda *_: Platform())
    monkeypatch.setattr(server, "answers", lambda *_: Health("ok", "", login_refused=False))
    hasty = config.model_copy(update={"timeouts": config.timeouts.model_copy(update={"start": 0.1})})
    ServiceControl(hasty, SilentObserver(), lambda _: None).bring_back(("thehive",))
    assert started == ["thehive"]
