"""The TheHive stand-in on the lab's real servers."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import time
from typing import Any
from uuid import uuid4

import pytest

from lab_fixtures import MakeLab
from propolis_lab import http
from propolis_lab.http import Answer
from propolis_lab.lab import Lab, Options

pytestmark = pytest.mark.lab

WORD = "quokka"


def ask(lab: Lab, path: str, method: str = "GET", **more: Any) -> Answer:
    """A request with whatever headers are given, and no login of its own."""
    return http.request(method, lab.thehive_url + path, **more)


def by_key(lab: Lab) -> dict[str, str]:
    return {"Authorization": f"Bearer {lab.record.api_key}"}


def attach(lab: Lab, number: int, content: bytes, name: str = "note.txt") -> dict[str, Any]:
    answer = ask(
        lab,
        f"/api/v1/case/{number}/attachment",
        "POST",
        body=content,
        headers=by_key(lab) | {"Content-Type": "text/plain", "X-File-Name": name},
    )
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def new_case(lab: Lab, title: str) -> dict[str, Any]:
    made: dict[str, Any] = lab.api("POST", "/api/v1/case", {"title": title, "description": "by a test"})
    return made


def index_ids(lab: Lab) -> int:
    count: int = http.request("GET", f"{lab.index_url}/{lab.graph_index}/_count").json()["count"]
    return count


def base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def test_a_new_case_is_a_row_in_cassandra_and_a_document_in_the_index(lab: Lab) -> None:
    def rows(session: Any) -> int:
        return int(session.execute("SELECT count(*) FROM thehive.edgestore").one()[0])

    with lab.cql() as session:
        before = rows(session)
        made = new_case(lab, f"A {WORD} {uuid4().hex}")
        after = rows(session)
    assert after > before
    number = int(made["_id"].removeprefix("~"))
    document = http.request("GET", f"{lab.index_url}/{lab.graph_index}/_doc/{base36(number)}").json()
    assert document["_source"]["title"] == made["title"]
    assert document["_source"]["_label"] == "Case"


def test_password_session_and_api_key_all_prove_who_one_is(lab: Lab) -> None:
    account = lab.account
    basic = base64.b64encode(f"{account.login}:{account.password}".encode()).decode()
    login = ask(lab, "/api/v1/login", "POST", data={"user": account.login, "password": account.password}, headers={})
    cookie = next(value for name, value in login.headers.items() if name.lower() == "set-cookie")
    for headers in (
        by_key(lab),
        {"Authorization": f"Basic {basic}"},
        {"Cookie": cookie.partition(";")[0]},
    ):
        answer = ask(lab, "/api/v1/user/current", headers=headers)
        assert (answer.status, answer.json()) == (200, {"login": account.login})


def test_nobody_gets_in_with_a_wrong_or_missing_proof(lab: Lab) -> None:
    wrong = base64.b64encode(f"{lab.account.login}:wrong".encode()).decode()
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {wrong}"},
        {"Authorization": "Basic ???"},
        {"Cookie": "THEHIVE-SESSION=YWRtaW4gOTk5OTk5OTk5OTk5OTk5.forged"},
        {"Cookie": "THEHIVE-SESSION="},
    ):
        assert ask(lab, "/api/v1/counts", headers=headers).status == 401, headers
    refused = ask(lab, "/api/v1/login", "POST", data={"user": lab.account.login, "password": "wrong"})
    assert refused.status == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/case/999999", None, 404),
        ("GET", "/api/v1/case/none", None, 404),
        ("GET", "/api/v1/attachment/~5/download", None, 404),
        ("GET", "/api/v1/attachment/" + "0" * 64 + "/download", None, 404),
        ("GET", "/api/v1/nothing", None, 404),
        ("DELETE", "/api/v1/cases", None, 405),
        ("GET", "/api/v1/cases?size=-1", None, 400),
        ("GET", "/api/v1/search?q=%21", None, 400),
        ("POST", "/api/v1/case", b"{", 400),
        ("POST", "/api/v1/case", b'{"title": "no description"}', 400),
    ],
)
def test_a_wrong_request_is_refused_with_the_right_status(
    lab: Lab, method: str, path: str, body: bytes | None, status: int
) -> None:
    assert ask(lab, path, method, body=body, headers=by_key(lab)).status == status


def test_full_text_search_follows_a_changed_title_and_is_answered_by_the_index(lab: Lab) -> None:
    old, new = f"old{uuid4().hex}", f"new{uuid4().hex}"

    def found(word: str) -> int:
        return int(lab.api("GET", f"/api/v1/search?q={WORD}+{word}")["total"])

    number = new_case(lab, f"A {WORD} {old}")["number"]
    assert (found(old), found(new)) == (1, 0)
    lab.api("PATCH", f"/api/v1/case/{number}", {"title": f"A {WORD} {new}"})
    assert (found(old), found(new)) == (0, 1)
    lab.api("DELETE", f"/api/v1/case/{number}")
    assert (found(old), found(new)) == (0, 0)


def test_an_attachment_is_a_file_named_by_its_hash_and_goes_with_its_last_reference(lab: Lab) -> None:
    content = f"{WORD} {uuid4().hex}".encode()
    number = new_case(lab, "holds attachments")["number"]
    first, second = attach(lab, number, content, "caf%C3%A9.txt"), attach(lab, number, content)
    digest = hashlib.sha256(content).hexdigest()
    file = lab.layout.attachments / "attachment" / digest
    assert first["attachmentId"] == second["attachmentId"] == digest
    assert first["name"] == "café.txt"
    assert set(first["hashes"]) == {
        digest,
        hashlib.sha1(content).hexdigest(),
        hashlib.md5(content).hexdigest(),
    }
    assert file.read_bytes() == content
    download = ask(lab, f"/api/v1/attachment/{first['_id']}/download", headers=by_key(lab))
    assert download.body == content
    assert ask(lab, f"/api/v1/attachment/{digest}/download", headers=by_key(lab)).body == content
    lab.api("DELETE", f"/api/v1/attachment/{first['_id']}")
    assert file.exists()
    lab.api("DELETE", f"/api/v1/attachment/{second['_id']}")
    assert not file.exists()


def test_everything_is_still_there_after_a_restart_of_all_services(lab: Lab) -> None:
    case = new_case(lab, f"A {WORD} {uuid4().hex}")
    content = uuid4().hex.encode()
    attachment = attach(lab, case["number"], content)

    def everything() -> tuple[Any, ...]:
        return (
            lab.api("GET", "/api/v1/counts"),
            lab.api("GET", "/api/v1/cases?size=10000"),
            lab.api("GET", "/api/v1/attachments?size=10000"),
            lab.api("GET", f"/api/v1/case/{case['number']}"),
            lab.api("GET", f"/api/v1/search?q={WORD}&size=10000"),
            index_ids(lab),
        )

    before = everything()
    lab.stop_all()
    lab.start_all()
    assert everything() == before
    download = ask(lab, f"/api/v1/attachment/{attachment['_id']}/download", headers=by_key(lab))
    assert download.body == content
    assert lab.api("POST", "/api/v1/case", {"title": "next", "description": "d"})["number"] > case["number"]


def test_every_acknowledged_write_survives_a_kill_in_the_middle_of_them(lab: Lab) -> None:
    log = lab.layout.acknowledgements
    lab.api("POST", "/api/v1/lab/load", {"per-second": 50})
    enough = len(log.read_bytes().splitlines()) + 60 if log.exists() else 60
    deadline = time.monotonic() + 120
    while not log.exists() or len(log.read_bytes().splitlines()) < enough:
        assert time.monotonic() < deadline, "the load writes nothing"
        time.sleep(0.1)
    os.kill(_process_of_standin(lab), signal.SIGKILL)
    while lab.running("thehive"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lab.platform.start("thehive")
    lab.wait("thehive")

    acknowledged = [json.loads(line) for line in log.read_text().splitlines()][-60:]
    assert {one["label"] for one in acknowledged} == {"Case", "Task", "Log", "Attachment"}
    cases = {one["_id"]: one["title"] for one in lab.api("GET", "/api/v1/cases?size=100000")["cases"]}
    files = {one["_id"] for one in lab.api("GET", "/api/v1/attachments?size=100000")["attachments"]}
    for one in acknowledged:
        if one["label"] == "Case":
            assert cases[one["id"]] == one["title"]
        elif one["label"] == "Attachment":
            assert one["id"] in files
            stored = (lab.layout.attachments / "attachment" / one["attachmentId"]).read_bytes()
            assert hashlib.sha256(stored).hexdigest() == one["attachmentId"]
        elif one["label"] == "Log":
            # A log's own words find it among the others.
            words = one["message"].replace(".", "").replace(" ", "+")
            hits = lab.api("GET", f"/api/v1/search?q={words}")["hits"]
            assert one["id"] in {hit["_id"] for hit in hits}


def _process_of_standin(lab: Lab) -> int:
    """The process that runs with this lab's application.conf."""
    conf = str(lab.layout.etc("thehive") / "application.conf").encode()
    for process in os.listdir("/proc"):  # noqa: PTH208 - names only
        if process.isdigit():
            try:
                with open(f"/proc/{process}/cmdline", "rb") as arguments:  # noqa: PTH123
                    if arguments.read().rstrip(b"\0").endswith(b"org.propolis.standin.Main\0" + conf):
                        return int(process)
            except OSError:
                continue
    raise AssertionError("the stand-in does not run")


def test_a_stop_removes_the_instance_registration(lab: Lab) -> None:
    def instances() -> list[bytes]:
        with lab.cql() as session:
            rows = session.execute("SELECT column1 FROM thehive.system_properties")
            return [row[0] for row in rows if bytes(row[0]).startswith(b"system-registration.")]

    assert len(instances()) >= 1
    before = len(instances())
    lab.platform.stop("thehive")
    assert len(instances()) == before - 1
    lab.platform.start("thehive")
    lab.wait("thehive")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_cases_and_files_on_another_index_and_in_a_bucket(
    lab: Lab, make_lab: MakeLab
) -> None:
    other = make_lab(Options(index="opensearch", files="s3"))
    seed = uuid4().int % 100_000

    def seeded(one: Lab) -> tuple[set[str], set[tuple[str, str]]]:
        one.api("POST", "/api/v1/lab/seed", {"cases": 5, "attachments": 20, "seed": seed})
        cases = one.api("GET", "/api/v1/cases?size=100000")["cases"]
        files = one.api("GET", "/api/v1/attachments?size=100000")["attachments"]
        return (
            {case["title"] for case in cases if f"seed-{seed}" in case.get("tags", [])},
            {(file["name"], file["attachmentId"]) for file in files if file["name"].startswith(f"file-{seed}-")},
        )

    titles, files = seeded(other)
    assert (len(titles), len(files)) == (5, 20)
    assert seeded(lab) == (titles, files)
    for _, digest in files:
        answer = ask(other, f"/api/v1/attachment/{digest}/download", headers=by_key(other))
        assert hashlib.sha256(answer.body).hexdigest() == digest
