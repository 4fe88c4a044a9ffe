"""A stack whose TheHive keeps database (Berkeley DB) and index (Lucene) itself, beside servers that are others'.

TheHive is the stand-in, so both stores are those of a real JanusGraph.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from propolis.platform.process.platform import ProcessPlatform
from propolis_lab import standin
from propolis_lab.http import request
from propolis_lab.programs import artefacts, java
from propolis_lab.servers import answers, ports, services
from system.command import Propolis

pytestmark = pytest.mark.lab

KEY = "a-key-of-this-test-alone"
APPLICATION = """
include "secret.conf"
http {{ address = "{address}", port = 9000 }}
db.janusgraph {{
  storage {{ backend = berkeleyje, directory = "{root}/opt/database" }}
  index.search {{ backend = lucene, directory = "{root}/opt/index" }}
}}
storage {{ provider = localfs, localfs.location = "{root}/opt/files" }}
standin {{ admin-password = "secret", api-key = "{key}" }}
"""


@dataclass(frozen=True)
class Stack:
    """It, its Propolis, and the recovery key."""

    root: Path
    url: str
    platform: ProcessPlatform
    propolis: Propolis
    key: Path

    def api(self, method: str, path: str, data: object = None) -> Any:
        answer = request(
            method, f"{self.url}/api/v1/{path}", data=data, headers={"Authorization": f"Bearer {KEY}"}, timeout=120
        )
        assert answer.status < 400, answer.text
        return answer.json()

    def content(self) -> list[Any]:
        """What database, index and files say."""
        attachments = self.api("GET", "attachments?from=0&size=100")
        return [
            self.api("GET", "counts"),
            self.api("GET", "cases?from=0&size=100"),
            attachments,
            self.api("GET", "search?q=the&from=0&size=100"),
        ]

    def start(self) -> None:
        self.platform.start("thehive")
        answers.until(lambda: answers.thehive(self.url), "thehive", 120, lambda: True)

    def restore(self) -> None:
        self.propolis.ok("restore", "latest", "--identity", self.key)


@pytest.fixture(scope="module")
def stack(lab_folder: Path) -> Iterator[Stack]:
    """One stack for these tests; each leaves it running, with its data."""
    root = lab_folder / "embedded/host"
    for name in ("opt/database", "opt/index", "opt/files/attachment", "etc/thehive", "var/log", "run"):
        (root / name).mkdir(parents=True)
    address = ports.claim_address(root, (9000,))
    (root / "etc/thehive/secret.conf").write_text(f'play.http.secret.key = "{"k" * 40}"\n')
    (root / "etc/thehive/application.conf").write_text(APPLICATION.format(address=address, root=root, key=KEY))
    # Files of servers that TheHive doesn't use: nothing of them may be asked, stopped or kept.
    for name in ("cassandra/cassandra.yaml", "elasticsearch/elasticsearch.yml"):
        (root / "etc" / name).parent.mkdir()
        (root / "etc" / name).write_text("cluster_name: of-something-else\n")
    home = java.find((17,))
    classpath = standin.build(artefacts.cache(), home.home)
    commands = {
        "thehive": standin.command(home.program, classpath, root / "etc/thehive/application.conf"),
        "database": [sys.executable, "-c", "import time; time.sleep(3600)"],
    }
    for name, words in commands.items():
        platform = services.describe(
            root / "etc/services",
            name,
            words,
            log=root / f"var/log/{name}.log",
            pid_file=root / f"run/{name}.pid",
            environment={},
        )
    propolis = Propolis(root / "etc/propolis/propolis.yaml")
    made = Stack(root, f"http://{address}:9000", platform, propolis, root.parent / "recovery.key")
    try:
        platform.start("database")
        made.start()
        made.api("POST", "lab/seed", {"cases": 5, "attachments": 10, "seed": 1})
        propolis.ok("init", "--root", root, "--repository", root.parent / "repository", "--name", "embedded")
        propolis.ok("repository", "init", "--recovery-key", made.key)
        yield made
    finally:
        for name in commands:
            services.end(platform, name)
        ports.release_all(root)


def test_a_lucene_and_berkeley_db_stack_is_backed_up_destroyed_and_restored(stack: Stack) -> None:
    others = stack.platform.pids("database")
    before = stack.content()
    assert all(before)
    stack.propolis.ok("backup")
    stack.propolis.ok("verify", "latest", "--level", "full", "--identity", stack.key)
    # It went on writing to the files that were cloned.
    stack.api("POST", "lab/seed", {"cases": 2, "attachments": 2, "seed": 2})
    assert stack.content() != before

    stack.platform.stop("thehive")
    for name in ("database", "index", "files"):
        shutil.rmtree(stack.root / "opt" / name)
        (stack.root / "opt" / name).mkdir()
    stack.restore()
    assert stack.content() == before
    assert list(stack.root.rglob(".propolis-*")) == []
    assert stack.platform.pids("database") == others


def test_its_plans_touch_no_service_but_thehive(stack: Stack) -> None:
    stack.propolis.ok("backup")
    for command in (["backup"], ["restore", "latest", "--identity", stack.key]):
        steps = stack.propolis.plan(*command)
        assert not [step for step in steps if "the database" in step or "the index" in step or "documents" in step]
        assert [step for step in steps if step.startswith("stop ")] == ["stop TheHive"]
    status = stack.propolis.ok("status", "--json").json
    assert status["services"] == {"thehive": "running"}


def test_doctor_and_backup_say_when_a_folder_holds_no_store(stack: Stack, tmp_path: Path) -> None:
    text = stack.propolis.config_file.read_text()
    empty = Propolis(tmp_path / "propolis.yaml")
    empty.config_file.write_text(text.replace(f"{stack.root}/opt/index", str(tmp_path)))
    checks = {check["name"]: check for check in empty.run("doctor", "--json").json}
    assert checks["database"]["result"] == "ok"
    assert checks["index"]["result"] == "fail"
    assert "holds no Lucene index" in checks["index"]["message"]
    error = empty.run("backup").one_clear_error(12)
    assert "holds no Lucene index" in error
    assert stack.platform.state("thehive").value == "running"


def test_a_thehive_that_was_moved_to_another_store_is_not_backed_up_from_the_old_one(stack: Stack) -> None:
    application = stack.root / "etc/thehive/application.conf"
    text = application.read_text()
    count = len(stack.propolis.ok("list", "--json").json)
    application.write_text(text.replace("backend = lucene", 'backend = elasticsearch, hostname = ["198.51.100.7"]'))
    try:
        checks = [check for check in stack.propolis.run("doctor", "--json").json if check["name"] == "settings"]
        assert [check["result"] for check in checks] == ["fail"]
        error = stack.propolis.run("backup").one_clear_error(12)
    finally:
        application.write_text(text)
    assert "is elasticsearch, but index.kind in propolis.yaml is lucene" in error
    assert stack.platform.state("thehive").value == "running"
    assert len(stack.propolis.ok("list", "--json").json) == count
