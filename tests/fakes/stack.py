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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from propolis.backup import BackupReport, back_up
from propolis.config.load import load
from propolis.config.schema import Config
from propolis.platform import Platform, open_platform
from propolis.platform.base import ServiceState
from propolis.recovery import recover_held, recover_stack
from propolis.restore import RestoreReport, RestoreRequest, restore
from propolis.run import Observer, SilentObserver
from propolis.run.journals import journals, open_runs
from propolis.run.lock import held
from propolis.stack.stack import STOP_ORDER, answers
from propolis_lab.servers.ports import claim_address, release_all
from system.command import Propolis

ROLES = ("thehive", "database", "index")
"""Services of every stack."""

PORTS = {
    "thehive": 9000,
    "database": 9042,
    "index": 9200,
    "cortex": 9001,
    "cortex-index": 9201,
    "minio": 9002,
}

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

FILES = "files: {{kind: folder, folder: {root}/files}}\n"

MINIO = """
files:
  kind: s3
  endpoint: http://{address}:9002
  bucket: thehive
  access_key: {{file: {root}/etc/minio/access}}
  secret_key: {{file: {root}/etc/minio/secret}}
minio: {{url: "http://{address}:9002", data: [{root}/minio], config: {root}/etc/minio}}
"""

CORTEX = """
cortex:
  url: http://{address}:9001
  config: {root}/etc/cortex
  jobs: {root}/cortex-jobs
"""

CORTEX_INDEX = (
    '  index: {{url: "http://{address}:9201", config: {root}/etc/cortex-elasticsearch, '
    "data: {root}/cortex-elasticsearch}}\n"
)

MORE_CONTENT = {
    "minio": {
        "etc/minio/access": "access",
        "etc/minio/secret": "secret",
        "minio/.minio.sys/format.json": "xl-single",
        "minio/thehive/attachment": "attachment",
    },
    "cortex": {"etc/cortex/application.conf": "# Cortex's", "cortex-jobs/job-1/input.json": "{}"},
    "cortex-index": {
        "etc/cortex-elasticsearch/elasticsearch.yml": "cluster.name: cortex\n",
        "cortex-elasticsearch/indices/cortex_6/_0.cfs": "document",
    },
}

Cortex = Literal["none", "own", "shared"]
"""Whether the stack has Cortex, and whether that has an index of its own."""


class FakeStack:
    """A stack of fake services below `root`, with a repository and its recovery key."""

    def __init__(
        self, root: Path, repository: Path, key: Path, cortex: Cortex = "none", *, minio: bool = False
    ) -> None:
        self.cortex = cortex
        self.minio = minio
        self.root = root
        self.repository = repository
        self.key = key
        self.journals = root / "state/journal"
        self.propolis = Propolis(root / "propolis.yaml")

    @classmethod
    @contextmanager
    def up(
        cls,
        folder: Path,
        bring: Callable[[FakeStack], None] | None = None,
        *,
        cortex: Cortex = "none",
        minio: bool = False,
    ) -> Iterator[FakeStack]:
        """A running stack with content and an empty repository; its processes are gone at the end.

        `bring` puts another repository in place, and its keys. `cortex` and `minio` add services.
        """
        root = folder / "host"
        root.mkdir()
        stack = cls(root, folder / "repository", folder / "recovery.key", cortex, minio=minio)
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
    def roles(self) -> tuple[str, ...]:
        """Its services, in the order in which they stop."""
        more = {"minio"} if self.minio else set()
        more |= {"none": set(), "shared": {"cortex"}, "own": {"cortex", "cortex-index"}}[self.cortex]
        return tuple(role for role in STOP_ORDER if role in more.union(ROLES))

    @property
    def cortex_index(self) -> str:
        """The folder of the index that Cortex uses."""
        return "cortex-elasticsearch" if self.cortex == "own" else "elasticsearch"

    @property
    def config(self) -> Config:
        return load(self.propolis.config_file)

    @property
    def platform(self) -> Platform:
        return open_platform(self.config.platform)

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
        if self.minio:
            (self.root / "minio/thehive/since").write_text("since")
        else:
            (self.root / "files/attachment/3f/since").write_text("since")
        if self.cortex != "none":
            (self.root / "cortex-jobs/job-1/output.json").write_text("since")
            (self.root / self.cortex_index / "indices/cortex_6/_1.cfs").write_text("since")
        (self.root / "etc/thehive/application.conf").write_text("# since")

    def content(self) -> dict[str, str]:
        """Every file of every store, by path. `saved_caches` is no store's: a restore empties it."""
        found: dict[str, str] = {}
        for top in ("etc", "cassandra", "elasticsearch", "files", "minio", "cortex-jobs", "cortex-elasticsearch"):
            for path in sorted((self.root / top).rglob("*")):
                if path.is_file() and "saved_caches" not in path.parts:
                    found[str(path.relative_to(self.root))] = path.read_text()
        return found

    def own_content(self) -> dict[str, str]:
        """The same without what restores keep of the former data."""
        return {name: text for name, text in self.content().items() if "/.propolis-" not in f"/{name}"}

    def tell(self, role: str, what: str, parameter: str = "") -> None:
        """Let a service misbehave from now on."""
        (self.root / "control" / f"{role}.{what}").write_text(parameter)

    def forget(self, role: str, what: str) -> None:
        """Let it behave again."""
        (self.root / "control" / f"{role}.{what}").unlink(missing_ok=True)

    def start(self, *roles: str) -> None:
        """Start what doesn't run, all or only these, in the right order."""
        for role in (role for role in reversed(self.roles) if role in (roles or self.roles)):
            self.platform.start(role)
            answers(self.config, role, 20)

    def launch(self) -> None:
        """Start all without waiting."""
        for role in reversed(self.roles):
            self.platform.start(role)

    def stop(self) -> None:
        """Stop all, whatever state they are in."""
        for role in self.roles:
            self.platform.stop(role)

    def is_running(self, role: str) -> bool:
        return self.platform.state(role) is ServiceState.RUNNING

    def assert_serving(self) -> None:
        """Every service runs and answers for real."""
        for role in self.roles:
            assert self.is_running(role), f"{role} does not run"
            answers(self.config, role, 20)

    def assert_nothing_left(self) -> None:
        """No clone, no staging or aside folder, no reserve; every journal is closed."""
        runs = open_runs(self.journals)
        assert runs.states == ()
        assert runs.unreadable == ()
        assert list(self.root.rglob(".propolis-*")) == []

    def wait_until_recovered(self, timeout: float = 180) -> None:
        """Wait for a watchdog to have closed every journal, and for its recovery to be gone."""
        deadline = time.monotonic() + timeout
        while open_runs(self.journals).states or held(self.root / "state"):
            assert time.monotonic() < deadline, (self.root / "state/watchdog.log").read_text()
            time.sleep(0.05)

    def newest_journal(self) -> Path:
        return journals(self.journals)[-1]

    def _lay_out(self, address: str) -> None:
        held = {name: text for name, text in CONTENT.items() if not (self.minio and name.startswith("files/"))}
        for role in self.roles:
            held |= MORE_CONTENT.get(role, {})
        if self.cortex == "shared":
            held["elasticsearch/indices/cortex_6/_0.cfs"] = "document"
        for name, content in held.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        settings = {
            "address": address,
            "data": str(self.root / "cassandra/data"),
            "index": str(self.root / "elasticsearch"),
            "cortex-index": str(self.root / "cortex-elasticsearch"),
            "minio": str(self.root / "minio"),
            "needs": {
                "thehive": ["database", "index", *(["minio"] if self.minio else [])],
                "cortex": ["cortex-index" if self.cortex == "own" else "index"],
            },
        }
        for secret in (self.root / "etc/minio").glob("*"):
            secret.chmod(0o600)
        text = CONFIG + (MINIO if self.minio else FILES) + (CORTEX if self.cortex != "none" else "")
        text += CORTEX_INDEX if self.cortex == "own" else ""
        self.lay_out_services(settings, text.format(root=self.root, address=address, repository=self.repository))

    def lay_out_services(self, settings: Mapping[str, Any], config: str) -> None:
        """Write what the fake services read, how they are started, and the configuration."""
        for name in ("services", "control", "run", "log"):
            (self.root / name).mkdir()
        (self.root / "state").mkdir(mode=0o700)
        (self.root / "fakes.json").write_text(json.dumps(settings))
        self.propolis.config_file.write_text(config)
        for role in self.roles:
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
