"""A stack whose TheHive keeps database (Berkeley DB) and index (Lucene) itself, beside servers that are others'."""

import shutil
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from propolis.platform.process import ProcessPlatform
from propolis_lab import services
from propolis_lab.http import request
from system.command import Propolis

ADDRESS = "127.0.0.1"
APPLICATION = """
http {{ address = "{address}", port = {port} }}
db.janusgraph {{
  storage {{ backend = berkeleyje, directory = "{root}/opt/database" }}
  index.search {{ backend = lucene, directory = "{root}/opt/index" }}
}}
storage {{ provider = localfs, localfs.location = "{root}/opt/files" }}
"""


@dataclass(frozen=True)
class Stack:
    """It, its Propolis, and the recovery key."""

    root: Path
    url: str
    platform: ProcessPlatform
    propolis: Propolis
    key: Path

    def add(self, record: str) -> None:
        assert request("POST", f"{self.url}/records", body=record.encode()).status == 200

    def records(self) -> list[list[str]]:
        """What database and index say."""
        found: list[list[str]] = request("GET", f"{self.url}/records").json()
        return found

    def restore(self) -> None:
        self.propolis.ok("restore", "latest", "--identity", self.key)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    root = tmp_path / "host"
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port = probe.getsockname()[1]
    for name in ("opt/database", "opt/index", "opt/files/attachment", "etc/thehive", "var/log", "run"):
        (root / name).mkdir(parents=True)
    (root / "opt/files/attachment/abc").write_text("attached")
    (root / "etc/thehive/application.conf").write_text(APPLICATION.format(address=ADDRESS, port=port, root=root))
    # Files of servers that TheHive doesn't use: nothing of them may be asked, stopped or kept.
    for name in ("cassandra/cassandra.yaml", "elasticsearch/elasticsearch.yml"):
        (root / "etc" / name).parent.mkdir()
        (root / "etc" / name).write_text("cluster_name: of-something-else\n")
    program = Path(__file__).with_name("embedded_thehive.py")
    folders = (str(root / "opt/database"), str(root / "opt/index"))
    command = {
        "thehive": [sys.executable, str(program), ADDRESS, str(port), *folders],
        "database": [sys.executable, "-c", "import time; time.sleep(600)"],
    }
    for name, words in command.items():
        platform = services.describe(
            root / "etc/services",
            name,
            words,
            log=root / f"var/log/{name}.log",
            pid_file=root / f"run/{name}.pid",
            environment={},
        )
        platform.start(name)
    propolis = Propolis(root / "etc/propolis/propolis.yaml")
    made = Stack(root, f"http://{ADDRESS}:{port}", platform, propolis, tmp_path / "recovery.key")
    try:
        propolis.ok("init", "--root", root, "--repository", tmp_path / "repository", "--name", "embedded")
        propolis.ok("repository", "init", "--recovery-key", made.key)
        yield made
    finally:
        for name in command:
            services.end(platform, name)


def wait_for(stack: Stack) -> None:
    """Wait until the program has begun to listen."""
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{stack.url}/api/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("it never listened")


def test_a_lucene_and_berkeley_db_stack_is_backed_up_destroyed_and_restored(stack: Stack) -> None:
    wait_for(stack)
    others = stack.platform.pids("database")
    for record in ("one", "two", "three"):
        stack.add(record)
    before = stack.records()
    assert before == [["one", "two", "three"]] * 2
    log = stack.root / "opt/database/00000000.jdb"
    kept = log.read_text()
    stack.propolis.ok("backup")
    assert log.read_text() == kept + "# started\n"  # it wrote after the clone
    stack.propolis.ok("verify", "latest", "--level", "full", "--identity", stack.key)

    stack.add("lost")
    stack.platform.stop("thehive")
    for name in ("database", "index", "files"):
        shutil.rmtree(stack.root / "opt" / name)
        (stack.root / "opt" / name).mkdir()
    stack.platform.start("thehive")
    wait_for(stack)
    assert stack.records() == [[], []]

    stack.restore()
    assert stack.records() == before
    assert log.read_text() == kept + "# started\n"
    assert (stack.root / "opt/files/attachment/abc").read_text() == "attached"
    assert list(stack.root.rglob(".propolis-*")) == []
    assert stack.platform.pids("database") == others


def test_its_plans_touch_no_service_but_thehive(stack: Stack) -> None:
    wait_for(stack)
    stack.propolis.ok("backup")
    for command in (["backup"], ["restore", "latest", "--identity", stack.key]):
        steps = stack.propolis.plan(*command)
        assert not [step for step in steps if "the database" in step or "the index" in step or "documents" in step]
        assert [step for step in steps if step.startswith("stop ")] == ["stop TheHive"]
    status = stack.propolis.ok("status", "--json").json
    assert status["services"] == {"thehive": "running"}


def test_doctor_and_backup_say_when_a_folder_holds_no_store(stack: Stack) -> None:
    wait_for(stack)
    shutil.rmtree(stack.root / "opt/index/global")
    checks = {check["name"]: check for check in stack.propolis.run("doctor", "--json").json}
    assert checks["database"]["result"] == "ok"
    assert checks["index"]["result"] == "fail"
    assert "holds no Lucene index" in checks["index"]["message"]
    error = stack.propolis.run("backup").one_clear_error(12)
    assert "holds no Lucene index" in error
    assert stack.platform.state("thehive").value == "running"


def test_a_thehive_that_was_moved_to_another_store_is_not_backed_up_from_the_old_one(stack: Stack) -> None:
    wait_for(stack)
    application = stack.root / "etc/thehive/application.conf"
    application.write_text(
        application.read_text().replace("backend = lucene", 'backend = elasticsearch, hostname = ["198.51.100.7"]')
    )
    checks = [check for check in stack.propolis.run("doctor", "--json").json if check["name"] == "settings"]
    assert [check["result"] for check in checks] == ["fail"]
    error = stack.propolis.run("backup").one_clear_error(12)
    assert "is elasticsearch, but index.kind in propolis.yaml is lucene" in error
    assert stack.platform.state("thehive").value == "running"
    assert stack.propolis.ok("list", "--json").json == []
