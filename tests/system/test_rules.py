"""Rules on real servers: every index comes back, blocks of writes are lifted, and refusals touch nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from propolis.stack.index.contents import IndexInfo, indices
from propolis_lab import http
from propolis_lab.lab.disaster import crash, empty
from sections import elasticsearch
from system.conftest import Scene

FLOOD = "index.blocks.read_only_allow_delete"


class Index:
    """The scene's index, asked as its administrator would."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def ask(self, method: str, path: str, data: object = None) -> Any:
        answer = http.request(method, f"{self.scene.lab.index_url}/{path}", data=data)
        assert answer.status in (200, 201, 404), answer.text
        return answer.json()

    def fill(self, name: str, count: int) -> None:
        for number in range(count):
            self.ask("POST", f"{name}/_doc?refresh=true", {"number": number})

    def set(self, name: str, setting: str, value: object) -> None:
        self.ask("PUT", f"{name}/_settings", {setting: value})

    def all(self) -> dict[str, IndexInfo]:
        return {info.name: info for info in indices(elasticsearch(self.scene.propolis.config), refresh=True)}


@pytest.fixture
def index(settled: Scene) -> Iterator[Index]:
    asked = Index(settled)
    yield asked
    for name in ("audit_of_thehive", "closed_one"):
        asked.ask("DELETE", name)
    asked.ask("POST", "thehive_global/_open")
    asked.set("thehive_global", FLOOD, None)


def pids(scene: Scene) -> dict[str, tuple[int, ...]]:
    return {service: scene.lab.platform.pids(service) for service in scene.lab.services}


def test_a_backup_is_refused_while_thehive_could_not_start_again(settled: Scene, index: Index) -> None:
    before = pids(settled)
    index.ask("POST", "thehive_global/_close")
    message = settled.propolis.run("backup").one_clear_error(12)
    assert "there is no open index whose name begins with thehive, closed: thehive_global" in message
    assert "thehive: " in message, "its own health says so, too"
    assert "Nothing was changed" in message
    assert settled.propolis.run("doctor").code == 12
    index.ask("POST", "thehive_global/_open")
    assert pids(settled) == before


def test_every_index_comes_back_and_takes_writes_again(settled: Scene, index: Index) -> None:
    index.fill("audit_of_thehive", 3)
    index.fill("closed_one", 2)
    index.ask("POST", "closed_one/_close")
    index.set("thehive_global", FLOOD, True)
    checks = {check["name"]: check for check in settled.propolis.run("doctor", "--json").json}
    assert FLOOD in checks["index writes"]["message"]
    made = settled.propolis.ok("backup", "--json").json
    assert any(FLOOD in warning for warning in made["warnings"])
    kept = {one["name"]: one for one in made["summary"]["header"]["facts"]["indices"]}
    assert (kept["audit_of_thehive"]["documents"], kept["closed_one"]["open"]) == (3, False)
    before = index.all()

    crash(settled.lab, "thehive", "index")
    empty(settled.lab.layout.lib(settled.lab.options.index))
    restored = settled.propolis.ok("restore", "latest", "--identity", settled.key, "--only", "index", "--json").json
    assert any("the block was lifted" in warning for warning in restored["warnings"])
    settled.lab.start_all()
    after = index.all()
    for name in ("audit_of_thehive", "closed_one"):
        assert after[name] == before[name]
    assert after["thehive_global"].blocks == ()
    assert settled.lab.api("POST", "/api/v1/case", {"title": "written again", "description": "after the restore"})


def test_a_restore_into_folders_that_can_not_be_replaced_is_refused(settled: Scene) -> None:
    before = pids(settled)
    attachment = next(path for path in settled.lab.layout.attachments.rglob("*") if path.is_file())
    subprocess.run(["chattr", "+i", str(attachment)], check=True)
    try:
        ran = settled.propolis.run("restore", "latest", "--identity", settled.key, "--only", "files")
    finally:
        subprocess.run(["chattr", "-i", str(attachment)], check=True)
    message = ran.one_clear_error(12)
    assert f"{attachment} is immutable (chattr +i)" in message
    assert pids(settled) == before
