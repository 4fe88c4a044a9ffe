"""One lab: a TheHive deployment of real servers under a root folder of its own."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
from cassandra.cluster import Session

from propolis.platform.base import ServiceState
from propolis.platform.process import ProcessPlatform
from propolis_lab import http, interrupts, standin
from propolis_lab.errors import LabError
from propolis_lab.lab import documents
from propolis_lab.layout import UIDS, IndexKind, Layout, write
from propolis_lab.programs import artefacts, java
from propolis_lab.programs.distributions import Distribution
from propolis_lab.servers import answers, cassandra, cql, index, minio, ports, services, thehive
from propolis_lab.servers.minio import Keys, S3Server

START_ORDER = ("minio", "database", "index", "thehive")
WAIT = 300.0
_ROLE = "thehive"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of lab is wanted."""

    files: Literal["folder", "s3"] = "folder"
    index: IndexKind = "elasticsearch"
    index_version: str | None = None
    """One of `index.VERSIONS`; with one on which the stand-in can't run, the lab has no `thehive`, and what the
    stand-in once made of 20 cases and 40 attachments stands for whatever number of them is wanted."""
    cassandra: str = "4.1"
    cluster_name: str = "thp"
    cases: int = 0
    attachments: int = 0
    seed: int = 1
    load: float = 0.0
    """Writes per second that the stand-in makes by itself."""
    empty: bool = False
    """Configure everything, start nothing: a host to restore to."""
    like: str | None = None
    """Root of a lab whose passwords are used, as two hosts configured by one hand have them."""
    database_heap: int = 256
    index_heap: int = 384
    """Heaps in MiB."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a lab knows of itself, kept in its root."""

    options: Options
    address: str
    jmx_port: int
    database_password: str
    superuser_password: str
    thehive_password: str
    api_key: str
    s3_access_key: str
    s3_secret_key: str


class Lab:
    """A lab that exists under its root, whether its services run or not."""

    def __init__(self, root: Path, record: Record) -> None:
        self.root = root
        self.record = record
        self.options = record.options
        self.address = record.address
        self.layout = Layout(root, record.options.index)
        self.platform = ProcessPlatform(self.layout.services)

    @classmethod
    def open(cls, root: Path) -> Lab:
        """The lab under that root. Raises LabError if there is none."""
        path = Layout(root, "elasticsearch").record
        try:
            return cls(root, msgspec.json.decode(path.read_bytes(), type=Record))
        except FileNotFoundError as error:
            raise LabError(f"There is no lab under {root}") from error

    @classmethod
    def up(cls, root: Path, options: Options | None = None, say: Callable[[str], None] = lambda _: None) -> Lab:
        """Bring a new lab up; on any failure or interrupt nothing of it is left.

        `root` must not exist or be empty. Raises LabError if something is missing or does not answer.
        """
        options = options or Options()
        root = Path(os.path.abspath(root))  # noqa: PTH100 - the name as given, for paths in configurations
        if root.exists() and any(root.iterdir()):
            raise LabError(f"{root} is not empty", left="It was left as it is")
        try:
            lab = cls._claim(root, options)
            say("Fetching what is not in the cache yet …")
            lab._configure()
            if not options.empty:
                lab.start_all(say)
                lab._fill(say)
        except BaseException:
            with interrupts.put_off():
                _remove(root)
            raise
        return lab

    def down(self) -> None:
        """End every process of the lab and remove its root; nothing to do if that is gone already."""
        _remove(self.root)

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
        known = self.platform.services()
        return tuple(name for name in START_ORDER if name in known)

    def start_all(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Start what does not run, and wait until everything answers."""
        first = not any(self.layout.cassandra_folders["data"].iterdir())
        for name in self.services:
            if name != "thehive":
                say(f"Starting {name} …")
                self.platform.start(name)
        for name in self.services:
            if name == "database" and first:
                self._wait_first()
            elif name != "thehive":
                self.wait(name)
        if self.options.files == "s3":
            self.s3.make_bucket(thehive.BUCKET)
        if "thehive" in self.services:
            say("Starting thehive …")
            self.platform.start("thehive")
            self.wait("thehive")

    def stop_all(self) -> None:
        """Stop everything in order."""
        for name in reversed(self.services):
            self.platform.stop(name)

    def running(self, service: str) -> bool:
        """Whether the service's process lives."""
        return self.platform.state(service) is ServiceState.RUNNING

    def wait(self, service: str, timeout: float = WAIT) -> None:
        """Return once the service really answers. Raises LabError with the end of its log if it does not."""
        try:
            answers.until(lambda: self.answers(service), service, timeout, lambda: self.running(service))
        except LabError as error:
            raise LabError(f"{error.what}; the end of its log:\n{self.log_tail(service)}") from error

    def answers(self, service: str) -> bool:
        """Whether it answers now; may raise an error that says why not."""
        match service:
            case "database":
                return answers.database(self.address, "cassandra", self.record.superuser_password)
            case "index":
                return answers.index(self.index_url)
            case "thehive":
                return answers.thehive(self.thehive_url)
            case "minio":
                return http.request("GET", f"{self.s3.endpoint}/minio/health/ready", timeout=5).status == 200
        raise LabError(f"The lab has no service {service}")

    def log_tail(self, service: str, lines: int = 20) -> str:
        """The last lines of what the service wrote."""
        path = self._log(service)
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # Ways in

    @property
    def thehive_url(self) -> str:
        """Base URL of the stand-in."""
        return f"http://{self.address}:{thehive.PORT}"

    @property
    def index_url(self) -> str:
        """Base URL of the index."""
        return f"http://{self.address}:{index.PORT}"

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
        """A session of Cassandra's superuser; rows are tuples."""
        with cql.session(self.address, "cassandra", self.record.superuser_password) as session:
            yield session

    def api(self, method: str, path: str, data: object = None, timeout: float = 600) -> Any:
        """Call the stand-in with the API key; returns decoded JSON. Raises LabError for an error answer."""
        answer = http.request(
            method,
            self.thehive_url + path,
            data=data,
            headers={"Authorization": f"Bearer {self.record.api_key}"},
            timeout=timeout,
        )
        if answer.status >= 400:
            raise LabError(f"{method} {path}: {answer.status} {answer.text[:300]}")
        return answer.json() if answer.body else None

    # Making

    @classmethod
    def _claim(cls, root: Path, options: Options) -> Lab:
        """Make the root and write the record first: from then on `down` can remove whatever there is."""
        parent = root.parent
        parent.mkdir(parents=True, exist_ok=True)
        artefacts.require_reachable(parent)
        root.mkdir(mode=0o755, exist_ok=True)
        root.chmod(0o755)
        like = cls.open(Path(options.like)).record if options.like else None
        keys = Keys.new()
        record = Record(
            options=options,
            address=ports.claim_address(root, (*cassandra.PORTS, *index.PORTS, thehive.PORT, minio.PORT)),
            jmx_port=ports.claim_port(root),
            database_password=like.database_password if like else secrets.token_hex(12),
            superuser_password=like.superuser_password if like else secrets.token_hex(12),
            thehive_password=like.thehive_password if like else secrets.token_hex(12),
            api_key=like.api_key if like else secrets.token_hex(16),
            s3_access_key=like.s3_access_key if like else keys.access,
            s3_secret_key=like.s3_secret_key if like else keys.secret,
        )
        lab = cls(root, record)
        lab.layout.record.parent.mkdir(mode=0o755, exist_ok=True)
        write(lab.layout.record, msgspec.json.encode(record).decode(), "thehive", 0o600)
        os.chown(lab.layout.record, os.geteuid(), os.getegid())
        return lab

    def _configure(self) -> None:
        options, layout = self.options, self.layout
        layout.make(with_bucket=options.files == "s3")
        self._configure_database()
        distribution = self._configure_index()
        if options.files == "s3":
            self._describe(
                "minio",
                minio.command("minio", self.address, minio.PORT, layout.lib("minio")),
                minio.environment("minio", self.s3.keys, layout.lib("minio")),
            )
        thehive.configure(
            layout,
            self.address,
            options.cluster_name,
            (_ROLE, self.record.database_password),
            self.account,
            self.s3 if options.files == "s3" else None,
            options.load,
        )
        if not distribution.serves_standin:
            return
        home = java.find((17,))
        classpath = standin.build(artefacts.cache(), home.home)
        self._describe(
            "thehive", standin.command(home.program, classpath, layout.etc("thehive") / "application.conf"), {}
        )

    def _configure_database(self) -> None:
        options, layout = self.options, self.layout
        jars = cassandra.fetch(options.cassandra)
        home = java.find(cassandra.JAVA)
        cassandra.configure(layout, options.cassandra, self.address, options.cluster_name)
        text = cassandra.options(layout, jars, home, self.record.jmx_port, options.database_heap)
        write(layout.etc("cassandra") / "jvm-server.options", text, "database")
        self._describe("database", cassandra.command(layout, jars, home), {})

    def _configure_index(self) -> Distribution:
        options, layout = self.options, self.layout
        distribution = index.fetch(options.index, options.index_version)
        index.configure(layout, distribution, self.address, options.cluster_name, options.index_heap)
        self._describe("index", index.command(distribution), index.environment(layout, distribution))
        return distribution

    def _describe(self, service: str, command: list[str], environment: dict[str, str]) -> None:
        services.describe(
            self.layout.services,
            service,
            command,
            log=self._log(service),
            pid_file=self.layout.run(service),
            environment={"TMPDIR": str(self.layout.root / "tmp"), **environment},
            uid=UIDS[service],
            working_directory=self._folder(service),
        )

    def _folder(self, service: str) -> Path:
        names = {"database": "cassandra", "index": self.options.index, "minio": "minio"}
        return self.layout.lib(names[service]) if service in names else self.layout.log("thehive")

    def _log(self, service: str) -> Path:
        names = {"database": "cassandra", "index": self.options.index}
        return self.layout.log(names.get(service, service)) / "console.log"

    def _wait_first(self) -> None:
        """A new database knows only Cassandra's default account: replace it."""

        def ready() -> bool:
            return answers.database(self.address, "cassandra", "cassandra")

        try:
            answers.until(ready, "database", WAIT, lambda: self.running("database"))
        except LabError as error:
            raise LabError(f"{error.what}; the end of its log:\n{self.log_tail('database')}") from error
        cassandra.create_role(self.address, _ROLE, self.record.database_password, self.record.superuser_password)
        self.wait("database")
        if self.options.cassandra.startswith("5."):
            cassandra.create_graph_tables(self.address, _ROLE, self.record.superuser_password)

    def _fill(self, say: Callable[[str], None]) -> None:
        options = self.options
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
        with cql.session(self.address, _ROLE, self.record.database_password) as session:
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


def _remove(root: Path) -> None:
    """Also of a lab that is only half there."""
    folder = Layout(root, "elasticsearch").services
    if folder.exists():
        platform = ProcessPlatform(folder)
        for name in reversed(platform.services()):
            services.end(platform, name)
    ports.release_all(root)
    if root.exists():
        shutil.rmtree(root)
