"""Cortex as a service of the stack: what proves that it answers, and which versions fit."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from propolis.config.fields import SecretRef
from propolis.config.schema import CortexConfig
from propolis.errors import PreflightError
from propolis.stack.asking import retry
from propolis.stack.cortex.server import CortexFacts, answers, facts
from propolis.stack.cortex.service import Cortex
from propolis.stack.model import BackedUp
from propolis.stack.rules import Once
from unit.stack.test_minio import Asking
from unit.stack.test_probes import Answer, as_json, server

STATUS = {"versions": {"Cortex": "3.1.8-1", "Play": "2.8"}, "config": {}}


def with_login(key: str) -> Answer:
    """A Cortex that lets one key in."""

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        if request.path == "/api/status":
            return as_json(STATUS)(request)
        known = request.headers.get("Authorization") == f"Bearer {key}"
        return as_json({"id": "lab"} if known else {"type": "AuthenticationError"}, 200 if known else 401)(request)

    return answer


def section(url: str, folder: Path, key: str = "") -> CortexConfig:
    if not key:
        return CortexConfig(url=url, config=folder)
    file = folder / "key"
    file.write_text(key)
    file.chmod(0o600)
    return CortexConfig(url=url, config=folder, api_key=SecretRef(file=file))


def test_its_status_is_enough_where_no_key_is_configured_and_tells_the_version(tmp_path: Path) -> None:
    with server(with_login("right")) as url:
        answers(section(url, tmp_path), 5)
        assert facts(section(url, tmp_path)).release == "cortex 3.1.8-1"


def test_a_key_proves_that_it_works_and_a_wrong_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "REFUSAL_GRACE", 0.3)
    with server(with_login("right")) as url:
        answers(section(url, tmp_path, "right"), 5)
        with pytest.raises(PreflightError, match=f"Cortex at {url} answers, but"):
            answers(section(url, tmp_path, "wrong"), 600)


def test_a_cortex_that_cant_reach_its_index_is_waited_for(tmp_path: Path) -> None:
    def broken(request: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        return as_json(STATUS if request.path == "/api/status" else {}, 200 if "status" in request.path else 520)(
            request
        )

    with server(broken) as url:
        answers(section(url, tmp_path), 5)
        with pytest.raises(PreflightError, match=r"did not answer within .*: HTTP 520"):
            answers(section(url, tmp_path, "key"), 0.1)


def test_one_that_tells_no_version_is_taken_as_it_is(tmp_path: Path) -> None:
    with server(as_json({"versions": {}})) as url:
        assert facts(section(url, tmp_path)).release == ""
    with server(as_json([])) as url, pytest.raises(PreflightError, match="is not a JSON object"):
        facts(section(url, tmp_path))


@pytest.mark.parametrize(
    ("backed_up", "here", "result"),
    [
        ("cortex 3.1.8-1", "3.1.8-1", {}),
        ("cortex 3.1.8-1", "4.0.0-1", {}),
        ("cortex 4.0.0-1", "3.1.8-1", {"version of Cortex": "fail"}),
        (None, "3.1.8-1", {"version of Cortex": "warn"}),
    ],
)
def test_data_of_an_older_cortex_is_taken_and_of_a_newer_one_refused(
    tmp_path: Path, backed_up: str | None, here: str, result: dict[str, str]
) -> None:
    service = Cortex(section("http://127.0.0.1:9", tmp_path))
    service.told = Once(lambda: CortexFacts(here))
    assert {check.name: check.result for check in service.same(BackedUp(backed_up, {}), Asking())} == result
