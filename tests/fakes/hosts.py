"""A stack of fake services on several hosts: each a folder with its own propolis.yaml, addresses and agent.

TheHive with its attachments is on `hive`, which coordinates; `db1` and `db2` have a node of the database and one of
the index each (`FakeHosts.up(folder, nodes=1)`: one host with both). So a whole run, disturbed in whatever way, takes
some seconds.

    with FakeHosts.up(folder) as hosts:          # or the fixture `fake_hosts`
        hosts.back_up()                          # the command's own function, in this process; gives a BackupReport
        hosts.propolis.ok("backup")              # the command itself, as another process
        hosts.assert_serving()                   # each service of each host runs and answers
        hosts.assert_nothing_left()              # no clone anywhere, every journal closed, the coordinator's, too

Between the coordinator and the agent of each other host is a relay, a process that passes bytes on:
`hosts["db1"].relay` is the file with its process ID. A run is disturbed at a step of the coordinator's plan by
`hosts.propolis.disturbed(step, moment, "backup")` (see `system.killer`), where a moment may be:

    hosts["db1"].cut      the relay is killed: both ends see the end of file
    hosts["db1"].frozen   the relay is stopped: half open, nobody sees anything
    hosts["db1"].killed   the agent is killed (also that of `hive`)
    hosts["db1"].crashed  the agent is killed, and its watchdog before it

Or at a step of one host's own plan: `with hosts["db1"].disturbed("clone-trees", "fail"): …`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fakes.stack import CONTENT, PORTS, FakeStack
from propolis.backup import BackupReport
from propolis.backup.woven import back_up_hosts
from propolis.config.load import load
from propolis.config.schema import Config
from propolis.recovery import recover_held
from propolis.run import Observer, SilentObserver, read_journal
from propolis.run.journals import open_runs
from propolis.run.lock import held
from propolis_lab.servers.ports import claim_address, release_all
from system.command import KILLER, Propolis

SILENCE = 3.0
"""Seconds: long enough for a busy machine, short enough for a test that waits for it."""

BEFORE = """
name: fake
host: {host}
silence: {silence}
state: {root}/state
platform: {{kind: process, services: {root}/services}}
repository: {{url: {repository}, host_key: {root}/state/host.key}}
timeouts: {{start: 20, listen: 8}}
"""

HIVE = """
thehive: {{url: "http://{address}:9000", config: {root}/etc/thehive}}
files: {{kind: folder, folder: {root}/files}}
"""

STORES = """
database:
  host: {address}
  cluster_name: fake
  nodes: {nodes}
  config: {root}/etc/cassandra
  data: [{root}/cassandra/data]
  commitlog: {root}/cassandra/commitlog
  hints: {root}/cassandra/hints
  saved_caches: {root}/cassandra/saved_caches
index: {{url: "http://{address}:9200", config: {root}/etc/elasticsearch, data: {root}/elasticsearch, nodes: {nodes}}}
"""

_OF_HIVE = ("etc/thehive/", "files/")
"""Beginnings of what TheHive's host holds; the others hold the rest."""


class FakeHost(FakeStack):
    """One host: those services of the stack that it runs, and how its agent is reached."""

    def __init__(self, root: Path, repository: Path, key: Path, name: str, roles: tuple[str, ...]) -> None:
        super().__init__(root, repository, key)
        self.name = name
        self.address = ""
        self.relay = root / "relay.pid"
        """The file with the relay's process ID, of the newest link."""
        self._roles = roles

    @property
    def roles(self) -> tuple[str, ...]:
        return self._roles

    @property
    def command(self) -> list[str]:
        """What reaches the agent."""
        return [sys.executable, "-I", "-S", str(Path(__file__).with_name("relay.py")), str(self.root)]

    @contextmanager
    def disturbed(self, step: str, moment: str) -> Iterator[None]:
        """Let something happen to the agent itself at its step of this kind, e.g. `clone-trees` (see `killer.py`).

        The newest backup's journal tells the step's number, so it must be of the same command.
        """
        state = read_journal(self.newest_journal())
        assert state is not None
        number = next(number for number, one in enumerate(state.steps) if one["type"] == step)
        self._run_agent_by(str(KILLER), str(number), moment, "--")
        try:
            yield
        finally:
            self._run_agent_by("-m", "propolis")

    def _run_agent_by(self, *start: str) -> None:
        command = [sys.executable, *start, "agent", "--config", str(self.propolis.config_file)]
        (self.root / "agent.json").write_text(json.dumps(command))

    @property
    def cut(self) -> str:
        return f"kill:{self.relay}"

    @property
    def frozen(self) -> str:
        return f"stop:{self.relay}"

    @property
    def killed(self) -> str:
        return f"agent:{self.root}/state/journal"

    @property
    def crashed(self) -> str:
        return f"crash:{self.root}/state/journal"

    def change(self) -> None:
        """Write what a restore has to replace, into every store of this host."""
        if "thehive" in self.roles:
            (self.root / "files/attachment/3f/since").write_text("since")
            with (self.root / "etc/thehive/application.conf").open("a") as file:
                file.write("\n# since")
        else:
            (self.root / "cassandra/data/thehive/edgestore/c").write_text("since")
            (self.root / "elasticsearch/indices/thehive_global/_2.cfs").write_text("since")

    def lay_out(self, where: Mapping[str, list[str]], others: Mapping[str, Mapping[str, Any]]) -> None:
        """Write content, services and configuration; `others` are the hosts that this one coordinates."""
        is_hive = "thehive" in self.roles
        for name, content in CONTENT.items():
            if self.roles and name.startswith(_OF_HIVE) == is_hive:
                path = self.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        if is_hive:
            stores = {"storage": where["database"], "index.search": where["index"]}
            lines = [f"db.janusgraph.{name}.hostname = {json.dumps(nodes)}" for name, nodes in stores.items()]
            (self.root / "etc/thehive/application.conf").write_text("\n".join(lines))
        settings = {
            "address": self.address,
            "data": str(self.root / "cassandra/data"),
            "index": str(self.root / "elasticsearch"),
            "needs": {"thehive": ["database", "index"]},
            "where": where,
        }
        text = BEFORE + (HIVE if is_hive else STORES if self.roles else "")
        text = text.format(
            root=self.root,
            address=self.address,
            repository=self.repository,
            host=self.name,
            silence=SILENCE,
            nodes=len(where["database"]),
        )
        if others:
            text += f"hosts: {json.dumps(others)}\n"
        self.lay_out_services(settings, text)
        self._run_agent_by("-m", "propolis")


class FakeHosts:
    """The hosts of one stack, the coordinator first, with a repository and its recovery key."""

    def __init__(self, hosts: Mapping[str, FakeHost]) -> None:
        self.hosts = hosts
        self.hive = hosts["hive"]
        self.propolis: Propolis = self.hive.propolis
        """The command on the coordinator."""
        self._plans: dict[str, list[str]] = {}

    def __getitem__(self, name: str) -> FakeHost:
        return self.hosts[name]

    @classmethod
    @contextmanager
    def up(cls, folder: Path, *, nodes: int = 2) -> Iterator[FakeHosts]:
        """Running hosts with content and an empty repository; their processes are gone at the end."""
        names = ["hive", *(f"db{number + 1}" for number in range(nodes))]
        found: dict[str, FakeHost] = {}
        for name in names:
            root = folder / name
            root.mkdir()
            roles = ("thehive",) if name == "hive" else ("index", "database")
            found[name] = FakeHost(root, folder / "repository", folder / "recovery.key", name, roles)
        hosts = cls(found)
        with ExitStack() as stack:
            for host in found.values():
                host.address = claim_address(host.root, PORTS.values())
                stack.callback(release_all, host.root)
                stack.callback(host.stop)
            stores = [host.address for host in found.values() if host is not hosts.hive]
            where = {"thehive": [hosts.hive.address], "database": stores, "index": stores}
            for host in found.values():
                others = {name: {"command": other.command} for name, other in found.items() if other is not host}
                host.lay_out(where, others if host is hosts.hive else {})
            hosts.propolis.ok("repository", "init", "--recovery-key", hosts.hive.key)
            for host in hosts.stores:
                host.propolis.ok("repository", "key", "add", "--host", "--identity", host.key)
            hosts.start()
            yield hosts

    @property
    def stores(self) -> tuple[FakeHost, ...]:
        """All but TheHive's."""
        return tuple(host for host in self.hosts.values() if host is not self.hive)

    @property
    def config(self) -> Config:
        return load(self.propolis.config_file)

    @property
    def coordinator_journals(self) -> Path:
        return self.hive.root / "state/coordinator/journal"

    def back_up(self, observer: Observer | None = None) -> BackupReport:
        """Back up in this process, but for the agents."""
        return back_up_hosts(self.config, self.propolis.config_file, observer or SilentObserver(), recover_held)

    def step(self, command: str, beginning: str) -> int:
        """The number, from 0, of the first step of the woven plan whose title begins so; plans are looked at once."""
        if command not in self._plans:
            self._plans[command] = self.propolis.plan(command)
        return next(number for number, title in enumerate(self._plans[command]) if title.startswith(beginning))

    def change(self) -> None:
        """Write what a restore has to replace, into every store of every host; services run on."""
        for host in self.hosts.values():
            host.change()

    def content(self) -> dict[str, dict[str, str]]:
        """Every file of every store, by host and path."""
        return {name: host.content() for name, host in self.hosts.items()}

    def start(self) -> None:
        """Start what doesn't run: stores before TheHive."""
        for host in self.stores:
            host.launch()
        for host in (*self.stores, self.hive):
            host.start()

    def assert_serving(self) -> None:
        """Every service of every host runs and answers for real."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(FakeHost.assert_serving, self.hosts.values()))

    def assert_nothing_left(self) -> None:
        """No clone, staging or aside folder, no reserve; every journal is closed, the coordinator's, too."""
        for host in self.hosts.values():
            host.assert_nothing_left()
        runs = open_runs(self.coordinator_journals)
        assert runs.states == ()
        assert runs.unreadable == ()

    def wait_until_recovered(self, timeout: float = 180) -> None:
        """Wait for watchdogs to have closed every journal, and for their recoveries to be gone."""
        deadline = time.monotonic() + timeout
        states = [host.root / "state" for host in self.hosts.values()]
        for state in (*states, self.hive.root / "state/coordinator"):
            while open_runs(state / "journal").states or held(state):
                log = state / "watchdog.log"
                assert time.monotonic() < deadline, log.read_text() if log.exists() else f"{state} is held"
                time.sleep(0.05)
