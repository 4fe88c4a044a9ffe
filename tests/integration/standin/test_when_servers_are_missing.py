"""What the stand-in does without one of its servers, or without its index: what TheHive 4.1.24 was seen to do."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from propolis_lab import http
from propolis_lab.http import Answer
from propolis_lab.lab import Lab
from propolis_lab.servers import thehive

pytestmark = pytest.mark.lab


def ask(lab: Lab, path: str) -> Answer:
    return http.request("GET", lab.thehive_url + path, timeout=60)


def log_in(lab: Lab) -> int:
    login = {"user": lab.account.login, "password": lab.account.password}
    return http.request("POST", f"{lab.thehive_url}/api/v1/login", data=login, timeout=60).status


def says(lab: Lab) -> tuple[int, str, int]:
    """Its status, its health, and whether it lets somebody in."""
    health = ask(lab, "/api/health")
    assert health.status == 200
    return ask(lab, "/api/status").status, health.text, log_in(lab)


HEALTHY = (200, "Ok", 200)
UNHEALTHY = (200, "Error", 401)


def listens(lab: Lab) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((lab.address, thehive.PORT)) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def restart(lab: Lab) -> None:
    lab.platform.stop("thehive")
    lab.platform.start("thehive")


@contextmanager
def with_settings(lab: Lab, text: str) -> Iterator[None]:
    """The stand-in's configuration says this, too, for a while."""
    path = lab.layout.etc("thehive") / "application.conf"
    kept = path.read_text()
    path.write_text(kept + text)
    try:
        yield
    finally:
        path.write_text(kept)


@pytest.fixture
def healthy(lab: Lab) -> Iterator[Lab]:
    """The shared lab, which serves again after the test, whatever became of that."""
    yield lab
    lab.start_all()
    if says(lab) != HEALTHY:
        restart(lab)
        lab.wait("thehive")


def test_started_before_its_index_answers_it_lives_and_never_listens_until_it_is_restarted(healthy: Lab) -> None:
    lab = healthy
    assert says(lab) == HEALTHY
    lab.platform.stop("index")
    assert says(lab) == UNHEALTHY
    assert ask(lab, "/api/v1/cases").status == 401
    with with_settings(lab, "standin.start-tries = 2\nstandin.start-pause = 0.2\n"):
        restart(lab)
        wait_until(lambda: "only a restart helps" in lab.log_tail("thehive", 40))
    assert lab.running("thehive")
    lab.platform.start("index")
    lab.wait("index")
    time.sleep(1)
    assert lab.running("thehive")
    assert not listens(lab)
    restart(lab)
    lab.wait("thehive")
    assert says(lab) == HEALTHY


def test_without_its_index_nobody_gets_in_and_it_ends_at_its_next_start(healthy: Lab) -> None:
    lab = healthy
    index = f"{lab.index_url}/{lab.graph_index}"
    assert http.request("POST", f"{index}/_close").status == 200
    assert says(lab) == UNHEALTHY
    restart(lab)
    wait_until(lambda: not lab.running("thehive"))
    assert "index_not_found" in lab.log_tail("thehive", 60)
    assert http.request("POST", f"{index}/_open").status == 200
    lab.start_all()
    assert says(lab) == HEALTHY


def test_an_index_made_anew_has_another_name_and_holds_everything(healthy: Lab) -> None:
    lab = healthy
    word = uuid4().hex
    lab.api("POST", "/api/v1/case", {"title": f"case {word}", "description": "d"})
    before = lab.graph_index
    documents = http.request("GET", f"{lab.index_url}/{before}/_count").json()["count"]
    assert http.request("DELETE", f"{lab.index_url}/{before}").status == 200
    assert says(lab) == UNHEALTHY
    with with_settings(lab, "db.janusgraph.dropAndRebuildIndexOnFailure = true\n"):
        restart(lab)
        lab.wait("thehive")
    assert lab.graph_index != before
    assert lab.graph_index.startswith("thehive_global")
    assert http.request("GET", f"{lab.index_url}/{lab.graph_index}/_count").json()["count"] == documents
    restart(lab)
    lab.wait("thehive")
    assert lab.api("GET", f"/api/v1/search?q={word}")["total"] == 1
    lab.api("POST", "/api/v1/case", {"title": f"another {word}", "description": "d"})
    assert lab.api("GET", f"/api/v1/search?q={word}")["total"] == 2
    assert http.request("GET", f"{lab.index_url}/{before}").status == 404, "nothing is written to the old one"


def test_a_missing_attachment_is_not_found_and_a_changed_one_is_delivered_as_it_is(lab: Lab) -> None:
    number = lab.api("POST", "/api/v1/case", {"title": "attached", "description": "d"})["number"]
    content = uuid4().hex.encode()
    headers = {"Authorization": f"Bearer {lab.record.api_key}"}
    url = f"{lab.thehive_url}/api/v1/case/{number}/attachment"
    assert http.request("POST", url, body=content, headers=headers).status == 201
    digest = hashlib.sha256(content).hexdigest()
    file = lab.layout.attachments / "attachment" / digest
    download = f"{lab.thehive_url}/api/v1/attachment/{digest}/download"
    file.write_bytes(b"something else")
    answer = http.request("GET", download, headers=headers)
    assert (answer.status, answer.body) == (200, b"something else")
    file.unlink()
    assert http.request("GET", download, headers=headers).status == 404
    lab.api("DELETE", f"/api/v1/case/{number}")
