"""Hard-linked clones of real, stopped servers stay byte-identical while the restarted servers write.

This is what a cold backup rests on: the rules in `propolis.stack` say which files a server never changes in place.
The test makes the servers do whatever rewrites files (flush, compaction, changed table and index settings, merges,
restarts) and compares every byte of the clones afterwards.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lab_fixtures import MakeLab
from propolis.clone import Method, clone, drop, lookalikes, place
from propolis.config.discovery.stack import discover
from propolis.stack.model import FolderTree
from propolis.stack.stack import folders
from propolis_lab import http
from propolis_lab.lab import Lab, Options
from propolis_lab.programs import java
from propolis_lab.servers import cassandra

pytestmark = [pytest.mark.lab, pytest.mark.slow]

WHILE = 12.0
"""Seconds of writing after each restart."""

State = dict[str, tuple[str, int, int, int, int]]


@pytest.fixture(params=[Options(), Options(cassandra="4.0", index="opensearch")], ids=["default", "others"])
def servers(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Yield the shared lab, then one of other servers; what the test made is gone afterwards."""
    options: Options = request.param
    if options == Options():
        lab: Lab = request.getfixturevalue("lab")
    else:
        make_lab: MakeLab = request.getfixturevalue("make_lab")
        lab = make_lab(msgspec.structs.replace(options, cases=20, attachments=100))
    yield lab
    for path in lookalikes(tree.path for tree in kept_by(lab)):
        drop(path)
    if options == Options():
        lab.start_all()
        with lab.cql() as session:
            session.execute("DROP KEYSPACE IF EXISTS churn")
            session.execute("ALTER TABLE thehive.edgestore WITH bloom_filter_fp_chance = 0.01")
        call(lab, "DELETE", "/thehive_churn?ignore_unavailable=true")


def test_clones_stay_identical_while_the_restarted_servers_write(servers: Lab) -> None:
    prepare(servers)
    kept = kept_by(servers)
    servers.stop_all()

    clones: list[Path] = []
    for tree in kept:
        clones += clone_twice(tree)
    before = {path: state(path) for path in clones}
    originals = {tree.name: contents(tree.path) for tree in kept}
    assert sum(len(files) for files in before.values()) > 600

    servers.start_all()
    churn(servers, 1)
    servers.stop_all()
    servers.start_all()
    churn(servers, 2)

    for path in clones:
        assert state(path) == before[path], f"{path} changed"

    # What the clones were protected from: files that changed in place, under the inode they had.
    changed = {
        name
        for tree in kept
        for inode, (name, digest) in contents(tree.path).items()
        if inode in originals[tree.name]
        and originals[tree.name][inode][0] == name
        and originals[tree.name][inode][1] != digest
    }
    print("changed in place:", sorted(changed))
    assert "translog.ckp" in {name.rsplit("/", 1)[-1] for name in changed}


def kept_by(lab: Lab) -> list[FolderTree]:
    """Return the folders that a backup of this lab keeps."""
    found = discover(lab.root, repository={"url": str(lab.root / "repository")})
    assert found.config is not None, found.problems
    return list(folders(found.config))


def clone_twice(tree: FolderTree) -> list[Path]:
    """Clone a tree beside its folder, and inside it as if it were a mount: servers must start over that too."""
    path = tree.path
    beside = clone(path, place(path, "beside"), tree.immutable, Method.HARDLINK)
    inside = clone(path, path / ".propolis-inside", tree.immutable, Method.HARDLINK)
    assert state(beside.clone) == state(inside.clone)
    if tree.name in ("database/data-0", "index/data"):
        assert beside.bytes_shared > 4 * beside.bytes_copied > 0
    return [beside.clone, inside.clone]


def state(root: Path) -> State:
    """Digest, mode, owner and modification time of every file."""
    found: State = {}
    for path in root.rglob("*"):
        if path.is_file():
            status = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(root))] = (
                digest,
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
            )
    return found


def contents(root: Path) -> dict[int, tuple[str, str]]:
    """Inode → name and digest of every file of a server's own folder, clones aside."""
    found: dict[int, tuple[str, str]] = {}
    for path in root.rglob("*"):
        if ".propolis-inside" in path.parts:
            continue
        try:
            if path.is_file():
                found[path.stat().st_ino] = (
                    str(path.relative_to(root)),
                    hashlib.sha256(path.read_bytes()).hexdigest(),
                )
        except FileNotFoundError:
            continue  # the servers run: files come and go
    return found


def prepare(lab: Lab) -> None:
    """Make SSTables and segments that are worth rewriting."""
    with lab.cql() as session:
        session.execute(
            "CREATE KEYSPACE churn WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        session.execute("CREATE TABLE churn.t (k int, c int, v text, PRIMARY KEY (k, c)) WITH gc_grace_seconds = 0")
        session.execute("CREATE TABLE churn.kept (k int PRIMARY KEY, v text)")
    for part in range(3):
        rows(lab, part)
        nodetool(lab, "flush", "churn")
    documents(lab, range(2000))
    call(lab, "POST", "/thehive_churn/_flush?force=true")
    documents(lab, range(2000, 2500))


def churn(lab: Lab, number: int) -> None:
    """Write, change, delete, and make the servers rewrite their files."""
    until = time.monotonic() + WHILE
    turn = 0
    while time.monotonic() < until:
        turn += 1
        rows(lab, turn % 5)
        documents(lab, range(turn * 50, turn * 50 + 300))
        lab.api("POST", "/api/v1/lab/seed", {"cases": 2, "attachments": 5, "seed": 1000 * number + turn})
    with lab.cql() as session:
        session.execute("DELETE FROM churn.t WHERE k = 1")
        session.execute(f"ALTER TABLE churn.t WITH bloom_filter_fp_chance = 0.{number}")
        session.execute(f"ALTER TABLE thehive.edgestore WITH bloom_filter_fp_chance = 0.{number}")
        session.execute("CREATE INDEX IF NOT EXISTS by_v ON churn.kept (v)")
        session.execute("ALTER TABLE churn.t WITH compaction = {'class': 'LeveledCompactionStrategy'}")
        session.execute("TRUNCATE churn.kept")
    nodetool(lab, "flush")
    nodetool(lab, "garbagecollect", "churn")
    nodetool(lab, "compact", "thehive")
    nodetool(lab, "upgradesstables", "-a", "churn")
    for path in (
        "/_all/_flush?force=true",
        "/_all/_forcemerge?max_num_segments=1",
        "/_all/_flush?force=true",
    ):
        call(lab, "POST", path)
    call(lab, "PUT", "/thehive_churn/_settings", f'{{"index": {{"refresh_interval": "{number + 1}s"}}}}')
    documents(lab, range(50))


def rows(lab: Lab, part: int) -> None:
    with lab.cql() as session:
        for key in range(100):
            session.execute(
                "INSERT INTO churn.t (k, c, v) VALUES (%s, %s, %s)", (key, part, f"{time.monotonic_ns()} " * 20)
            )
            session.execute("INSERT INTO churn.kept (k, v) VALUES (%s, %s)", (key, f"value {part}"))


def documents(lab: Lab, numbers: range) -> None:
    """Write documents and delete every seventh."""
    lines = []
    for number in numbers:
        if number % 7:
            lines.append(f'{{"index": {{"_id": "{number}"}}}}\n{{"text": "word{number} {time.monotonic_ns()}"}}\n')
        else:
            lines.append(f'{{"delete": {{"_id": "{number}"}}}}\n')
    answer = call(lab, "POST", "/thehive_churn/_bulk?refresh=true", "".join(lines))
    assert b'"errors":false' in answer


def call(lab: Lab, method: str, path: str, body: str | None = None) -> bytes:
    answer = http.request(
        method,
        lab.index_url + path,
        body=None if body is None else body.encode(),
        headers={"Content-Type": "application/json"},
        timeout=300,
    )
    assert answer.status < 300, answer.text
    return answer.body


def nodetool(lab: Lab, *command: str) -> None:
    jars = cassandra.fetch(lab.options.cassandra)
    server = (lab.layout.etc("cassandra") / "jvm-server.options").read_text().split()
    done = subprocess.run(
        [
            *(str(java.find(cassandra.JAVA).program), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            *(option for option in server if option.startswith("--add-")),
            *("-Djava.security.manager=allow", f"-Duser.home={lab.root}/tmp"),
            *("-cp", ":".join(map(str, sorted(jars.glob("*.jar"))))),
            *("org.apache.cassandra.tools.NodeTool", "-p", str(lab.record.jmx_port), *command),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
