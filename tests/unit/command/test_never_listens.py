"""A TheHive that was started before its stores answered never listens: it is restarted once, and a slow one isn't."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from propolis.command import control as control_module
from propolis.command.context import Context
from propolis.command.control import started_too_early
from propolis.command.services import WaitForService
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import Config
from propolis.errors import PreflightError, ServicesDownError
from propolis.platform.base import ServiceState
from propolis.run import Results, SilentObserver

LISTEN = 120.0


class FakePlatform:
    """Services that run, each for some seconds; what a restarted TheHive does is a test's matter."""

    def __init__(self, **ages: float) -> None:
        self.ages: dict[str, float] = ages
        self.done: list[str] = []
        self.listens_after_start = True
        self._servers = ExitStack()
        self.port = 0

    def services(self) -> tuple[str, ...]:
        return ("database", "index", "thehive")

    def state(self, service: str) -> ServiceState:
        return ServiceState.RUNNING if service in self.ages else ServiceState.STOPPED

    def age(self, service: str) -> float | None:
        return self.ages.get(service)

    def start(self, service: str) -> None:
        if service in self.ages:
            return
        self.done.append(f"start {service}")
        self.ages[service] = 0.0
        if service == "thehive" and self.listens_after_start:
            self._servers.enter_context(self._serving())

    def stop(self, service: str) -> None:
        self.done.append(f"stop {service}")
        self.ages.pop(service, None)

    def close(self) -> None:
        self._servers.close()

    def _serving(self) -> ExitStack:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"Ok")

            def log_message(self, *arguments: object) -> None:
                pass

        stack = ExitStack()
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", self.port), Handler))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        return stack


class Notes(SilentObserver):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Stage:
    """A context on a fake platform, whose stores answer or don't."""

    def __init__(self, context: Context, platform: FakePlatform, notes: Notes) -> None:
        self.context = context
        self.platform = platform
        self.notes = notes
        self.stores_answer = True

    def answers(
        self, config: Config, service: str, timeout: float, alive: object = None, login: object = None
    ) -> None:
        if not self.stores_answer:
            raise PreflightError(f"{service} does not answer")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
        port = free.server_address[1]
    file = tmp_path / "propolis.yaml"
    file.write_text(sample())
    loaded = load(file)
    config = loaded.model_copy(
        update={
            "thehive": loaded.require_thehive().model_copy(update={"url": f"http://127.0.0.1:{port}"}),
            "timeouts": loaded.timeouts.model_copy(update={"start": 1.5, "listen": LISTEN}),
        }
    )
    platform, notes = FakePlatform(), Notes()
    platform.port = port
    monkeypatch.setattr(control_module, "open_platform", lambda *_: platform)
    made = Stage(Context(config, notes, "run"), platform, notes)
    monkeypatch.setattr(control_module, "answers", made.answers)
    yield made
    platform.close()


def test_one_that_gave_up_is_restarted_once_its_stores_answer(stage: Stage) -> None:
    stage.platform.ages = {"database": 590.0, "index": 3000.0, "thehive": 600.0}
    WaitForService(service="thehive").do(stage.context, Results())
    assert stage.platform.done == ["stop thehive", "start thehive"]
    assert "does not listen" in stage.notes.notes[0]


def test_recovery_restarts_it_as_well(stage: Stage) -> None:
    stage.platform.ages = {"database": 590.0, "index": 590.0, "thehive": 600.0}
    stage.context.services.bring_back(("database", "index", "thehive"))
    assert stage.platform.done == ["stop thehive", "start thehive"]


def test_it_is_restarted_no_more_than_once(stage: Stage) -> None:
    stage.platform.ages = {"database": 590.0, "index": 590.0, "thehive": 600.0}
    stage.platform.listens_after_start = False
    with pytest.raises(ServicesDownError):
        stage.context.services.bring_back(("thehive",))
    stage.platform.ages["thehive"] = 600.0
    with pytest.raises(ServicesDownError):
        stage.context.services.bring_back(("thehive",))
    assert stage.platform.done == ["stop thehive", "start thehive"]


def test_it_is_left_alone_while_its_stores_do_not_answer(stage: Stage) -> None:
    stage.platform.ages = {"database": 590.0, "index": 590.0, "thehive": 600.0}
    stage.stores_answer = False
    with pytest.raises(PreflightError, match="did not answer"):
        WaitForService(service="thehive").do(stage.context, Results())
    assert stage.platform.done == []


def test_a_check_with_everything_running_restarts_nothing(stage: Stage) -> None:
    stage.platform.ages = {"database": 590.0, "index": 590.0, "thehive": 600.0}
    with pytest.raises(PreflightError, match="did not answer"):
        stage.context.services.wait_for("thehive")
    assert stage.platform.done == []


def test_one_that_was_started_here_once_its_stores_answered_is_only_slow(stage: Stage) -> None:
    stage.platform.ages = {"database": 1.0, "index": 1.0}
    stage.platform.listens_after_start = False
    for store in ("database", "index"):
        stage.context.services.wait_for(store)
    stage.context.services.start("thehive")
    stage.platform.ages["thehive"] = 600.0
    with pytest.raises(PreflightError, match="did not answer"):
        WaitForService(service="thehive").do(stage.context, Results())
    assert stage.platform.done == ["start thehive"]


def test_one_that_was_started_here_while_a_store_was_stopped_is_not(stage: Stage) -> None:
    stage.platform.ages = {"database": 590.0, "index": 1.0}
    stage.platform.listens_after_start = False
    for store in ("database", "index"):
        stage.context.services.wait_for(store)
    stage.context.services.stop("database")
    stage.context.services.start("thehive")
    stage.platform.ages |= {"database": 590.0, "thehive": 600.0}
    stage.platform.listens_after_start = True
    WaitForService(service="thehive").do(stage.context, Results())
    assert stage.platform.done[-2:] == ["stop thehive", "start thehive"]


@pytest.mark.parametrize(
    ("age", "stores", "early"),
    [
        (60.0, [50.0, 50.0], False),  # it may still be trying
        (121.0, [100.0, 3000.0], True),  # younger than it is
        (121.0, [240.0, 3000.0], True),  # started shortly before it: they may not have answered yet
        (121.0, [3000.0, 3000.0], False),  # they had long been up: it is migrating, say
        (3600.0, [3700.0, 3700.0], True),  # a reboot an hour ago
        (3600.0, [None, 9000.0], True),
        (None, [1.0], False),
        (3600.0, [], False),  # it keeps its stores itself
    ],
)
def test_ages_tell_who_gave_up_and_who_is_slow(age: float | None, stores: list[float | None], early: bool) -> None:
    assert started_too_early(age, stores, LISTEN) is early
