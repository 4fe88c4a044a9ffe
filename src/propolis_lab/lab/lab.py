"""One lab: a TheHive deployment of real servers under a root folder of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cassandra import ConsistencyLevel
from cassandra.cluster import Session

from propolis.platform.base import ServiceState
from propolis.platform.process.platform import ProcessPlatform
from propolis_lab import http, interrupts
from propolis_lab.errors import LabError
from propolis_lab.lab import documents
from propolis_lab.lab.making import ROLE, Making, claim
from propolis_lab.lab.options import Options, Record
from propolis_lab.layout import Layout
from propolis_lab.servers import answers, cassandra, cortex, cql, index, minio, ports, services, thehive
from propolis_lab.servers.minio import Keys, S3Server
from propolis_lab.servers.sshd import Sshd

STORES = ("minio", "database", "index", "cortex-index")
"""Services that start first, all at once."""
START_ORDER = (*STORES, "cortex", "thehive")
WAIT = 300.0


class Lab:
    """A lab that exists under its root, whether its services run or not."""

    def __init__(self, root: Path, record: Record) -> None:
        self.root = root
        self.record = record
        self.options = record.options
        self.address = record.address
        self.layout = Layout(root, record.options.index)
        self.platform = ProcessPlatform(self.layout.services)
        self._elsewhere = ProcessPlatform(self.layout.elsewhere)

    @classmethod
    def open(cls, root: Path) -> Lab:
        """The lab under that root. Raises LabError if there is none."""
        return cls(root, Record.of(root))

    @classmethod
    def up(cls, root: Path, options: Options | None = None, say: Callable[[str], None] = lambda _: None) -> Lab:
        """Bring a new lab up; on any failure or interrupt nothing of it is left.

        `root` must not exist or be empty. Raises LabError if something is missing or does not answer.
        """
        options = options or Options()
        options.check()
        root = Path(os.path.abspath(root))  # noqa: PTH100 - the name as given, for paths in configurations
        if root.exists() and any(root.iterdir()):
            raise LabError(f"{root} is not empty", left="It was left as it is")
        try:
            lab = cls(root, claim(root, options))
            say("Fetching what is not in the cache yet …")
            Making(lab.layout, lab.record, lab.s3).all()
            if not options.empty:
                lab.start_all(say)
                lab.fill(say)
        except BaseException:
            with interrupts.put_off():
                remove(root)
            raise
        return lab

    def down(self) -> None:
        """End every process of the lab and remove its root; nothing to do if that is gone already."""
        remove(self.root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # Services

    @property
    def services(self) -> tuple[str, ...]:
        """Its services in the order in which they start."""
        known = (*self.platform.services(), *self._elsewhere.services())
        return tuple(name for name in START_ORDER if name in known)

    def start_all(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Start what does not run, and wait until everything answers."""
        first = self.is_new
        stores = [name for name in self.services if name in STORES]
        users = [name for name in self.services if name not in STORES]
        self._start(stores, say)
        for name in stores:
            if name == "database" and first:
                self._wait_first()
            else:
                self.wait(name)
        if self.options.files == "s3":
            self.s3.make_bucket(thehive.BUCKET)
        self._start(users, say)
        if "cortex" in users and first:
            self._until(lambda: answers.listens(self.cortex_url + "/api/status"), "cortex")
            self.cortex_api("POST", "/api/maintenance/migrate")
        for name in users:
            self.wait(name)

    @property
    def is_new(self) -> bool:
        """Whether its database has never been started."""
        return "database" in self.services and not any(self.layout.cassandra_folders["data"].iterdir())

    def start(self, service: str) -> None:
        """Start one service, without waiting until it answers."""
        self._platform(service).start(service)

    def _start(self, names: list[str], say: Callable[[str], None]) -> None:
        for name in names:
            say(f"Starting {name} …")
            self.start(name)

    def stop_all(self) -> None:
        """Stop everything in order."""
        for name in reversed(self.services):
            self._platform(name).stop(name)

    def running(self, service: str) -> bool:
        """Whether the service's process lives."""
        return self._platform(service).state(service) is ServiceState.RUNNING

    def pids(self, service: str) -> Sequence[int]:
        """Its living processes."""
        return self._platform(service).pids(service)

    def _platform(self, service: str) -> ProcessPlatform:
        return self._elsewhere if service in self._elsewhere.services() else self.platform

    def wait(self, service: str, timeout: float = WAIT) -> None:
        """Return once the service really answers. Raises LabError with the end of its log if it does not."""
        self._until(lambda: self.answers(service), service, timeout)

    def _until(self, ready: Callable[[], bool], service: str, timeout: float = WAIT) -> None:
        try:
            answers.until(ready, service, timeout, lambda: self.running(service))
        except LabError as error:
            raise LabError(f"{error.what}; the end of its log:\n{self.log_tail(service)}") from error

    def answers(self, service: str) -> bool:
        """Whether it answers now; may raise an error that says why not."""
        match service:
            case "database":
                return answers.database(self.address, "cassandra", self.record.superuser_password)
            case "index":
                return answers.index(self.index_url)
            case "cortex-index":
                return answers.index(self.cortex_index_url)
            case "cortex":
                return answers.cortex(self.cortex_url, self.record.cortex_key)
            case "thehive":
                return answers.thehive(self.thehive_url)
            case "minio":
                return answers.listens(f"{self.s3.endpoint}/minio/health/ready")
        raise LabError(f"The lab has no service {service}")

    def log_tail(self, service: str, lines: int = 20) -> str:
        """The last lines of what the service wrote."""
        path = self.layout.log(self.layout.program(service)) / "console.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # Ways in

    @property
    def thehive_url(self) -> str:
        """Base URL of the stand-in."""
        return f"http://{self.address}:{thehive.PORT}"

    @property
    def index_url(self) -> str:
        """Base URL of the index; in a cluster, of the nearest node."""
        return f"http://{self.record.nearest}:{index.PORT}"

    @property
    def sshd(self) -> Sshd:
        """The SSH server of a cluster's host; it is no service of the stack."""
        return Sshd(self.root / "elsewhere/ssh", self.address)

    @property
    def cortex_url(self) -> str:
        """Base URL of Cortex."""
        return f"http://{self.address}:{cortex.PORT}"

    @property
    def cortex_index_url(self) -> str:
        """Base URL of the index that Cortex uses."""
        own = self.options.cortex == "own"
        return f"http://{self.address}:{index.CORTEX_PORT}" if own else self.index_url

    @property
    def graph_index(self) -> str:
        """The index of TheHive's graph: `thehive_global`, or one with a number behind it once it was rebuilt."""
        listed = http.request(
            "GET", f"{self.index_url}/_cat/indices/thehive_global*?format=json&expand_wildcards=all"
        )
        names: list[str] = [entry["index"] for entry in listed.json()]
        return max(names, key=lambda name: (len(name), name))

    @property
    def account(self) -> thehive.Account:
        """The stand-in's first account."""
        return thehive.Account(self.record.thehive_password, self.record.api_key)

    @property
    def s3(self) -> S3Server:
        """The lab's MinIO (with `files="s3"`)."""
        return S3Server(
            f"http://{self.address}:{minio.PORT}", Keys(self.record.s3_access_key, self.record.s3_secret_key)
        )

    @contextmanager
    def cql(self) -> Iterator[Session]:
        """A session of Cassandra's superuser; rows are tuples, in a cluster those of all replicas."""
        record = self.record
        level = ConsistencyLevel.ALL if record.nodes else ConsistencyLevel.ONE
        with cql.session(record.nearest, "cassandra", record.superuser_password, consistency=level) as session:
            yield session

    def api(self, method: str, path: str, data: object = None, timeout: float = 600) -> Any:
        """Call the stand-in with the API key; returns decoded JSON. Raises LabError for an error answer."""
        return _call(method, self.thehive_url + path, self.record.api_key, data, timeout)

    def cortex_api(self, method: str, path: str, data: object = None, timeout: float = 600) -> Any:
        """The same for Cortex."""
        return _call(method, self.cortex_url + path, self.record.cortex_key, data, timeout)

    @property
    def data_folders(self) -> dict[str, list[Path]]:
        """The folders that hold the data of each service."""
        layout, options = self.layout, self.options
        found = {"database": list(layout.cassandra_folders.values()), "index": [layout.lib(options.index)]}
        if options.files == "folder":
            found["thehive"] = [layout.attachments]
        elif options.minio != "none":
            found["minio"] = [layout.lib("minio")]
        if options.cortex != "none":
            found["cortex"] = [layout.jobs]
        if options.cortex == "own":
            found["cortex-index"] = [layout.lib(layout.program("cortex-index"))]
        return {service: folders for service, folders in found.items() if service in self.record.services}

    # Filling

    def _wait_first(self) -> None:
        """A new database knows only Cassandra's default account: replace it."""

        self._until(lambda: answers.database(self.address, "cassandra", "cassandra"), "database")
        cassandra.create_role(self.address, ROLE, self.record.database_password, self.record.superuser_password)
        self.wait("database")
        if self.options.cassandra.startswith("5."):
            cassandra.create_graph_tables(self.address, ROLE, self.record.superuser_password)

    def fill(self, say: Callable[[str], None]) -> None:
        """Make the data that its options ask for."""
        options = self.options
        if options.cortex != "none" and options.jobs:
            say(f"Letting Cortex run {options.jobs} jobs …")
            self.seed_jobs(options.jobs, options.seed)
        if not options.cases and not options.attachments:
            return
        if "thehive" not in self.services:
            content = documents.recorded()
            say(
                f"The stand-in can't run on {options.index} {options.index_version}: loading {len(content.documents)}"
                f" of its documents, and {len(content.attachments)} attachments, instead …"
            )
            self._load(content)
        else:
            say(f"Making {options.cases} cases and {options.attachments} attachments …")
            self.seed(options.cases, options.attachments, options.seed)

    def _load(self, content: documents.Recorded) -> None:
        documents.load_index(self.index_url, content)
        with cql.session(self.address, ROLE, self.record.database_password) as session:
            documents.load_database(session, content)
        if self.options.files == "s3":
            documents.put_objects(self.s3.store(thehive.BUCKET), content)
        else:
            documents.lay_files(self.layout.attachments, content)

    def seed(self, cases: int, attachments: int, seed: int) -> Any:
        """Make cases and attachments; the same seed makes the same ones."""
        return self.api(
            "POST", "/api/v1/lab/seed", {"cases": cases, "attachments": attachments, "seed": seed}, timeout=3600
        )

    def seed_jobs(self, jobs: int, seed: int) -> Any:
        """Let Cortex run jobs; the same seed makes the same ones."""
        return self.cortex_api("POST", "/api/lab/seed", {"jobs": jobs, "seed": seed})


def _call(method: str, url: str, key: str, data: object, timeout: float) -> Any:
    answer = http.request(method, url, data=data, headers={"Authorization": f"Bearer {key}"}, timeout=timeout)
    if answer.status >= 400:
        raise LabError(f"{method} {url}: {answer.status} {answer.text[:300]}")
    return answer.json() if answer.body else None


def remove(root: Path) -> None:
    """End every process of a lab and remove its root, also of a lab that is only half there."""
    layout = Layout(root, "elasticsearch")
    for folder in (layout.services, layout.elsewhere):
        if folder.exists():
            platform = ProcessPlatform(folder)
            for name in reversed(platform.services()):
                services.end(platform, name)
    ports.release_all(root)
    if root.exists():
        shutil.rmtree(root)
