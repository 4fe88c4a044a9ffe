"""The lab: real servers come up, answer, stop, and vanish without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra import Unauthorized
from cassandra.cluster import NoHostAvailable

from lab_fixtures import MakeLab
from propolis_lab.errors import LabError
from propolis_lab.lab import Lab, Options
from propolis_lab.layout import UIDS
from propolis_lab.programs import artefacts
from propolis_lab.servers import answers, cql

pytestmark = pytest.mark.lab


def processes_of(root: Path) -> list[int]:
    """Processes started for a lab under that root, or that mention it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{root}/".encode() in text:
                found.append(int(entry.name))
    return found


def claims_of(root: Path) -> list[str]:
    return [p.name for p in (artefacts.cache() / "claims").iterdir() if p.read_text() == str(root)]


def assert_nothing_is_left(root: Path) -> None:
    assert not root.exists()
    assert processes_of(root) == []
    assert claims_of(root) == []


def test_every_service_answers_under_its_own_number_and_none_as_root(lab: Lab) -> None:
    assert lab.services == ("database", "index", "thehive")
    for name in lab.services:
        assert lab.answers(name)
        pids = lab.platform.pids(name)
        assert pids
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {UIDS[name]}


def test_folders_belong_to_their_services_and_secrets_are_closed_to_others(lab: Lab) -> None:
    for path in (*lab.layout.cassandra_folders.values(), lab.layout.lib("elasticsearch"), lab.layout.attachments):
        assert path.stat().st_uid in UIDS.values()
        assert path.stat().st_mode & 0o007 == 0
    for path in (lab.layout.record, *lab.layout.services.glob("*.yaml")):
        assert path.stat().st_mode & 0o077 == 0
    assert lab.layout.etc("thehive").joinpath("secret.conf").stat().st_mode & 0o077 == 0
    assert lab.layout.etc("thehive").joinpath("application.conf").stat().st_mode & 0o007 == 0


def test_cassandra_refuses_default_and_wrong_passwords_and_thehives_role_is_no_superuser(lab: Lab) -> None:
    with pytest.raises(NoHostAvailable), cql.session(lab.address, "cassandra", "cassandra"):
        pass
    with cql.session(lab.address, "thehive", lab.record.database_password) as session:
        assert session.execute("SELECT count(*) FROM thehive.edgestore").one()[0] > 0
        with pytest.raises(Unauthorized):
            session.execute("CREATE ROLE another")


def test_the_stand_in_has_what_was_asked_for_in_every_store(lab: Lab) -> None:
    counts = lab.api("GET", "/api/v1/counts")
    assert counts["Case"] >= 20
    assert counts["Attachment"] >= 100
    assert sum(1 for path in lab.layout.attachments.rglob("*") if path.is_file()) >= 100


def test_services_stop_and_start_again_and_answer(lab: Lab) -> None:
    lab.stop_all()
    assert [name for name in lab.services if lab.running(name)] == []
    lab.start_all()
    assert all(lab.answers(name) for name in lab.services)


def test_a_second_lab_runs_beside_the_first_and_an_empty_one_like_it_can_be_started(
    lab: Lab, make_lab: MakeLab
) -> None:
    second = make_lab(Options(empty=True, like=str(lab.root)))
    assert second.address != lab.address
    assert second.options.cluster_name == lab.options.cluster_name
    assert second.record.database_password == lab.record.database_password
    assert not any(second.running(name) for name in second.services)
    assert not any(second.layout.cassandra_folders["data"].iterdir())
    second.start_all()
    assert all(second.answers(name) for name in second.services)
    assert all(lab.answers(name) for name in lab.services)
    assert second.api("GET", "/api/v1/counts").get("Case", 0) == 0
    second.down()
    assert_nothing_is_left(second.root)


def test_attachments_in_a_bucket_and_opensearch_work_as_well(make_lab: MakeLab) -> None:
    lab = make_lab(Options(files="s3", index="opensearch", cases=3, attachments=10))
    assert lab.services == ("minio", "database", "index", "thehive")
    assert lab.api("GET", "/api/v1/counts")["Attachment"] == 10
    assert lab.api("GET", "/api/v1/search?q=host&from=0&size=1")["total"] >= 0
    assert lab.s3.empty_bucket() == 10


@pytest.fixture
def root(lab_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    root = lab_folder / f"interrupted-{abs(hash(request.node.name)) % 10**8}"
    yield root
    if root.exists():
        Lab.open(root).down()


def start_up(root: Path) -> subprocess.Popen[str]:
    # Whoever runs the tests in the background of a script has them ignore interrupts, and so would the lab.
    return subprocess.Popen(
        [
            "env",
            "--default-signal=INT",
            *(sys.executable, "-m", "propolis_lab", "up", "--root", str(root), "--cases", "2"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "Fetching"),
        (signal.SIGINT, "Starting index"),
        (signal.SIGTERM, "Starting database"),
        (signal.SIGTERM, "Starting thehive"),
    ],
)
def test_an_interrupt_while_it_comes_up_leaves_nothing(root: Path, number: signal.Signals, moment: str) -> None:
    process = start_up(root)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(moment):
            break
    process.send_signal(number)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 130, rest
    assert_nothing_is_left(root)


def test_a_lab_whose_maker_was_killed_can_be_removed(root: Path) -> None:
    process = start_up(root)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Starting thehive"):
            break
    process.kill()
    process.communicate()
    assert processes_of(root)
    done = subprocess.run([sys.executable, "-m", "propolis_lab", "down", "--root", str(root)], check=False)
    assert done.returncode == 0
    assert_nothing_is_left(root)


def test_a_service_that_dies_is_reported_with_the_end_of_its_log(make_lab: MakeLab) -> None:
    lab = make_lab(Options(empty=True))
    path = lab.layout.etc("cassandra") / "cassandra.yaml"
    path.write_text(path.read_text() + "no_such_setting: 1\n")
    with pytest.raises(LabError, match="no_such_setting"):
        lab.start_all()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LabError, match="is not empty"):
        Lab.up(tmp_path)
    assert (tmp_path / "file").read_text() == "x"


def test_there_is_no_lab_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="There is no lab"):
        Lab.open(tmp_path)


def test_waiting_ends_at_once_when_the_server_has_died() -> None:
    with pytest.raises(LabError, match="ended instead of answering"):
        answers.until(lambda: False, "index", 60, alive=lambda: False)
