"""The stand-in for Cortex: its jobs, their folders, what it does without its index; and what the proof sees of it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator

import msgspec
import pytest

from propolis_lab import http
from propolis_lab.errors import LabError
from propolis_lab.http import Answer
from propolis_lab.lab import Lab
from propolis_lab.lab.making import Making
from propolis_lab.proof import compare, snapshot
from propolis_lab.servers import answers

pytestmark = pytest.mark.lab

INDEX = "cortex_6"


@pytest.fixture
def cortex(lab: Lab) -> Iterator[Lab]:
    """The shared lab with a Cortex on TheHive's index, which has run a few jobs; gone after the test."""
    options = msgspec.structs.replace(lab.options, cortex="thehive")
    found = Lab(lab.root, msgspec.structs.replace(lab.record, options=options))
    found.layout.make(["cortex"])
    try:
        Making(found.layout, found.record, found.s3).cortex()
        found.platform.start("cortex")
        answers.until(lambda: ask(found, "/api/status").status == 200, "Cortex")
        assert ask(found, "/api/user/current").status == 520, "there is no index yet"
        found.cortex_api("POST", "/api/maintenance/migrate")
        found.wait("cortex")
        found.seed_jobs(8, seed=1)
        yield found
    finally:
        found.platform.stop("cortex")
        (lab.layout.services / "cortex.yaml").unlink()
        if not lab.running("index"):
            lab.start_all()
        http.request("DELETE", f"{lab.index_url}/{INDEX}")


def ask(lab: Lab, path: str, key: str | None = None) -> Answer:
    headers = {"Authorization": f"Bearer {key or lab.record.cortex_key}"}
    return http.request("GET", lab.cortex_url + path, headers=headers)


def test_a_job_has_a_report_and_a_folder_and_pages_of_jobs_are_whole(cortex: Lab) -> None:
    content = b"MZ and more"
    question = {"dataType": "file", "attachment": base64.b64encode(content).decode(), "message": "look", "tlp": 1}
    job = cortex.cortex_api("POST", "/api/analyzer/FileInfo_8_0/run", question)
    assert (job["status"], job["dataType"], job["tlp"], job["workerName"]) == ("Success", "file", 1, "FileInfo_8_0")
    digest = hashlib.sha256(content).hexdigest()
    report = cortex.cortex_api("GET", f"/api/job/{job['id']}/report")["report"]
    assert (report["success"], report["full"]["sha256"]) == (True, digest)
    assert ask(cortex, f"/api/datastore/{digest}").body == content
    (folder,) = cortex.layout.jobs.glob(f"cortex-job-{job['id']}-*")
    assert (folder / "input/attachment").read_bytes() == content
    assert json.loads((folder / "input/input.json").read_text())["message"] == "look"
    assert json.loads((folder / "output/output.json").read_text())["full"] == report["full"]

    everything = cortex.cortex_api("GET", "/api/job?range=all")
    pages = [one for start in (0, 4, 8) for one in cortex.cortex_api("GET", f"/api/job?range={start}-{start + 4}")]
    assert len(everything) == 9
    assert pages == everything
    assert cortex.cortex_api("GET", f"/api/job/{job['id']}") == job
    assert ask(cortex, "/api/job/unknown").status == 404
    assert http.request("POST", f"{cortex.cortex_url}/api/analyzer/none/run", data={}).status == 401
    with pytest.raises(LabError, match=r"404 .*analyzer none"):
        cortex.cortex_api("POST", "/api/analyzer/none/run", question)


def test_without_its_index_only_its_status_is_told_and_it_serves_again_by_itself(cortex: Lab) -> None:
    assert ask(cortex, "/api/job").status == 200
    assert ask(cortex, "/api/job", "wrong").status == 401
    index = f"{cortex.index_url}/{INDEX}"
    assert http.request("POST", f"{index}/_close").status == 200
    assert ask(cortex, "/api/status").json()["versions"]["Cortex"].startswith("3.")
    assert ask(cortex, "/api/job").status == 520
    assert http.request("POST", f"{index}/_open").status == 200
    cortex.wait("cortex")
    cortex.platform.stop("index")
    assert ask(cortex, "/api/status").status == 200
    assert ask(cortex, "/api/job").status == 500
    assert "unreachable" in ask(cortex, "/api/user/current").text
    cortex.platform.start("index")
    cortex.wait("index")
    cortex.wait("cortex")
    assert len(ask(cortex, "/api/job?range=all").json()) == 8


def test_the_proof_sees_a_changed_report_and_a_changed_or_lost_job_file(cortex: Lab) -> None:
    before = snapshot(cortex)
    cortex.platform.stop("cortex")
    cortex.platform.start("cortex")
    cortex.wait("cortex")
    assert compare(before, snapshot(cortex)) == []
    assert before.jobs is not None
    assert before.jobs.count == 8
    assert all(first == second for _, first, second in before.rows(before))
    ways = ("Cortex API key", "Cortex password", "wrong Cortex API key")
    assert [before.logins[way] for way in ways] == [True, True, False]

    changed, lost, *_ = sorted(before.job_files)
    (cortex.layout.jobs / changed).write_bytes(b"something else")
    (cortex.layout.jobs / lost).unlink()
    job = cortex.cortex_api("GET", "/api/job?range=0-1")[0]["id"]
    url = f"{cortex.index_url}/{INDEX}/_update/report-{job}?routing={job}&refresh=true"
    assert http.request("POST", url, data={"doc": {"full": '{"sha256": "another"}'}}).status == 200
    found = [difference.what for difference in compare(before, snapshot(cortex))]
    assert found == [f"index {INDEX}", "jobs all", f"job file {changed}", f"job file {lost}"]
