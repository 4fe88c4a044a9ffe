"""A whole stack on fake services: the real backup and restore run on it in about a second.

Everything of Propolis is real here: configuration, journal, watchdog, clones, repository, and the `process` platform
with three real processes. Only what those processes are is fake (`fakes/service.py`): they speak enough of TheHive's
and Elasticsearch's HTTP and of Cassandra's CQL for every probe to pass, and answer from what lies in their folders.
Whole matrices (a kill, a failure, a full pipe at every step) run in the time of one scenario on real servers.

    with FakeStack.up(folder) as stack:          # or the fixture `fake_stack`
        stack.back_up()                          # the command's own function, in this process; gives a BackupReport
        before = stack.content()
        stack.change()                           # what TheHive's users did since
        stack.restore()
        assert stack.content() == before
        stack.assert_serving()                   # each service runs and answers
        stack.assert_nothing_left()              # no clone, no aside or reserve, every journal closed

`stack.propolis` runs the command itself, as another process (`system.command.Propolis`: `run`, `ok`, `plan`,
`killed(step, …)`). `stack.tell("thehive", "hangs")` lets a service misbehave until `stack.forget` with the same:
`hangs` (accepts and never answers), `breaks` (ends as soon as it is started), `slow` (seconds until it listens),
`status` (the HTTP status of every answer), `health` (what /api/health says), `closed` and `blocked` (indices, between
commas, that are closed or take no writes), `free` (bytes of 1000 that the index's disk has). TheHive starts only
while both stores answer, else it lives on and never listens.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from propolis import platform
from propolis.backup import BackupReport, back_up
from propolis.config.load import load
from propolis.config.schema import Config
from propolis.platform.base import ServiceState
from propolis.recovery import recover_held, recover_stack
from propolis.restore import RestoreReport, RestoreRequest, restore
from propolis.run import Observer, SilentObserver
from propolis.run.journals import journals, open_runs
from propolis.run.lock import held
from propolis.stack.stack import answers
from propolis_lab.servers.ports import claim_address, release_all
from system.command import Propolis

ROLES = ("thehive", "database", "index")
PORTS = {"thehive": 9000, "database": 9042, "index": 9200}
STARTS = ("database", "index", "thehive")

CONFIG = """
name: fake
state: {root}/state
platform: {{kind: process, services: {root}/services}}
thehive: {{url: "http://{address}:9000", config: {root}/etc/thehive}}
database:
  host: {address}
  cluster_name: fake
  config: {root}/etc/cassandra
  data: [{root}/cassandra/data]
  commitlog: {root}/cassandra/commitlog
  hints: {root}/cassandra/hints
  saved_caches: {root}/cassandra/saved_caches
index: {{url: "http://{address}:9200", config: {root}/etc/elasticsearch, data: {root}/elasticsearch}}
files: {{kind: folder, folder: {root}/files}}
repository: {{url: {repository}, host_key: {root}/state/host.key}}
timeouts: {{start: 20}}
"""

CONTENT = {
    "etc/thehive/application.conf": "# TheHive's",
    "etc/cassandra/cassandra.yaml": "cluster_name: fake\n",
    "etc/elasticsearch/elasticsearch.yml": "cluster.name: fake\n",
    **{
        f"cassandra/data/thehive/{table}/{row}": f"{table} {row}"
        for row in "ab"
        for table in ("edgestore", "graphindex", "janusgraph_ids", "system_properties")
    },
    "cassandra/data/thehive/edgestore/nb-1-big-Data.db": "x" * 5000,
    "cassandra/data/system/local": "system",
    "cassandra/commitlog/CommitLog-7-1.log": "log",
    "cassandra/hints/none": "",
    "cassandra/saved_caches/KeyCache": "of data that goes",
    "elasticsearch/indices/thehive_global/_0.cfs": "document",
    "elasticsearch/indices/thehive_global/_1.cfs": "document",
    "files/attachment/3f/attached": "attachment",
}


class FakeStack:
    """A stack of fake services below `root`, with a repository and its recovery key."""

    def __init__(self, root: Path, repository: Path, key: Path) -> None:
        self.root = root
        self.repository = repository
        self.key = key
        self.journals = root / "state/journal"
        self.propolis = Propolis(root / "propolis.yaml")

    @classmethod
    @contextmanager
    def up(cls, folder: Path, bring: Callable[[FakeStack], None] | None = None) -> Iterator[FakeStack]:
        """A running stack with content and an empty repository; its processes are gone at the end.

        `bring` puts another repository in place, and its keys.
        """
        root = folder / "host"
        root.mkdir()
        stack = cls(root, folder / "repository", folder / "recovery.key")
        address = claim_address(root, PORTS.values())
        try:
            stack._lay_out(address)
            if bring is None:
                stack.propolis.ok("repository", "init", "--recovery-key", stack.key)
            else:
                bring(stack)
            stack.start()
            yield stack
        finally:
            stack.stop()
            release_all(root)

    @property
    def config(self) -> Config:
        return load(self.propolis.config_file)

    @property
    def platform(self) -> platform.Platform:
        return platform.open(self.config.platform)

    def back_up(self, observer: Observer | None = None) -> BackupReport:
        """Back up in this process."""
        return back_up(self.config, observer or SilentObserver(), recover_held)

    def restore(self, observer: Observer | None = None) -> RestoreReport:
        """Restore the latest backup in this process."""
        config = self.config
        request = RestoreRequest(source=config, target=config, backup="latest", identity=self.key)
        return restore(request, observer or SilentObserver(), recover_held)

    def recover(self, observer: Observer | None = None) -> None:
        """Recover in this process."""
        recover_stack(self.config.state, observer or SilentObserver())

    def change(self) -> None:
        """Write what a restore has to replace, into every store; services run on."""
        (self.root / "cassandra/data/thehive/edgestore/c").write_text("since")
        (self.root / "elasticsearch/indices/thehive_global/_2.cfs").write_text("since")
        (self.root / "files/attachment/3f/since").write_text("since")
        (self.root / "etc/thehive/application.conf").write_text("# since")

    def content(self) -> dict[str, str]:
        """Every file of every store, by path. `saved_caches` is no store's: a restore empties it."""
        found: dict[str, str] = {}
        for top in ("etc", "cassandra", "elasticsearch", "files"):
            for path in sorted((self.root / top).rglob("*")):
                if path.is_file() and "saved_caches" not in path.parts:
                    found[str(path.relative_to(self.root))] = path.read_text()
        return found

    def tell(self, role: str, what: str, parameter: str = "") -> None:
        """Let a service misbehave from now on."""
        (self.root / "control" / f"{role}.{what}").write_text(parameter)

    def forget(self, role: str, what: str) -> None:
        """Let it behave again."""
        (self.root / "control" / f"{role}.{what}").unlink(missing_ok=True)

    def start(self, *roles: str) -> None:
        """Start what doesn't run, all or only these, in the right order."""
        for role in (role for role in STARTS if role in (roles or ROLES)):
            self.platform.start(role)
            answers(self.config, role, 20)

    def stop(self) -> None:
        """Stop all, whatever state they are in."""
        for role in ROLES:
            self.platform.stop(role)

    def is_running(self, role: str) -> bool:
        return self.platform.state(role) is ServiceState.RUNNING

    def assert_serving(self) -> None:
        """Every service runs and answers for real."""
        for role in ROLES:
            assert self.is_running(role), f"{role} does not run"
            answers(self.config, role, 20)

    def assert_nothing_left(self) -> None:
        """No clone, no staging or aside folder, no reserve; every journal is closed."""
        runs = open_runs(self.journals)
        assert runs.states == ()
        assert runs.unreadable == ()
        assert list(self.root.rglob(".propolis-*")) == []

    def wait_until_recovered(self, timeout: float = 60) -> None:
        """Wait for a watchdog to have closed every journal, and for its recovery to be gone."""
        deadline = time.monotonic() + timeout
        while open_runs(self.journals).states or held(self.root / "state"):
            assert time.monotonic() < deadline, (self.root / "state/watchdog.log").read_text()
            time.sleep(0.05)

    def newest_journal(self) -> Path:
        return journals(self.journals)[-1]

    def _lay_out(self, address: str) -> None:
        for name, content in CONTENT.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        for name in ("services", "control", "run", "log"):
            (self.root / name).mkdir()
        (self.root / "state").mkdir(mode=0o700)
        settings = {
            "address": address,
            "data": str(self.root / "cassandra/data"),
            "index": str(self.root / "elasticsearch"),
        }
        (self.root / "fakes.json").write_text(json.dumps(settings))
        text = CONFIG.format(root=self.root, address=address, repository=self.repository)
        self.propolis.config_file.write_text(text)
        for role in ROLES:
            service = {
                "command": [
                    sys.executable,
                    "-I",
                    "-S",
                    str(Path(__file__).with_name("service.py")),
                    role,
                    str(self.root),
                ],
                "pid_file": str(self.root / "run" / f"{role}.pid"),
                "log": str(self.root / "log" / f"{role}.log"),
                "stop_timeout": 20,
            }
            (self.root / "services" / f"{role}.yaml").write_text(json.dumps(service))
