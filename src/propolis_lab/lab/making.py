"""Makes a new lab on disk: its record, its folders, the configuration and description of every service."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from propolis_lab import standin
from propolis_lab.lab.options import Options, Record
from propolis_lab.layout import UIDS, Layout, write
from propolis_lab.programs import artefacts, java
from propolis_lab.servers import cassandra, cortex, index, minio, ports, services, thehive
from propolis_lab.servers.index import Node
from propolis_lab.servers.minio import Keys, S3Server

ROLE = "thehive"
"""TheHive's name in the database."""


def claim(root: Path, options: Options, host: str = "") -> Record:
    """Make the root and write the record first: from then on `Lab.down` can remove whatever there is."""
    root.parent.mkdir(parents=True, exist_ok=True)
    artefacts.require_reachable(root.parent)
    root.mkdir(mode=0o755, exist_ok=True)
    root.chmod(0o755)
    keys = Keys.new()
    wanted = (*cassandra.PORTS, *index.PORTS, thehive.PORT, minio.PORT, cortex.PORT)
    record = Record(
        options=options,
        address=ports.claim_address(root, wanted),
        jmx_port=ports.claim_port(root),
        database_password=secrets.token_hex(12),
        superuser_password=secrets.token_hex(12),
        thehive_password=secrets.token_hex(12),
        api_key=secrets.token_hex(16),
        s3_access_key=keys.access,
        s3_secret_key=keys.secret,
        cortex_password=secrets.token_hex(12),
        cortex_key=secrets.token_hex(16),
        kms_key=minio.new_kms_key(),
        host=host,
    )
    if options.like:
        like = Record.of(Path(options.like))
        secret = {name: getattr(like, name) for name in msgspec.structs.asdict(like) if name.endswith(_SECRETS)}
        record = msgspec.structs.replace(record, **secret)
    record.save(root)
    return record


_SECRETS = ("_password", "_key")


class Making:
    """Writes what the services of one lab need before they can start."""

    def __init__(self, layout: Layout, record: Record, s3: S3Server) -> None:
        self._layout = layout
        self._record = record
        self._options = record.options
        self._s3 = s3
        self._distribution = index.fetch(record.options.index, record.options.index_version)

    def all(self) -> None:
        """Every service; fetches and builds the programs that the cache lacks."""
        wanted = self._record.services
        self._layout.make(wanted)
        for service, make in (
            *(("database", self.database), ("index", self.index)),
            *(("minio", self.minio), ("cortex", self.cortex), ("thehive", self.thehive)),
        ):
            if service in wanted:
                make()

    def index(self) -> None:
        """TheHive's index server."""
        options, record = self._options, self._record
        name = f"{options.cluster_name}-{record.host}" if record.host else ""
        cluster = {f"{options.cluster_name}-{host}": address for host, address in record.nodes.items()}
        self._index(Node("index", options.cluster_name, options.index_heap, name=name, cluster=cluster))

    def database(self) -> None:
        """Cassandra."""
        options, layout = self._options, self._layout
        jars = cassandra.fetch(options.cassandra)
        home = java.find(cassandra.JAVA)
        record = self._record
        node = cassandra.Node(record.address, options.cluster_name, tuple(record.nodes.values()))
        cassandra.configure(layout, options.cassandra, node)
        text = cassandra.options(layout, jars, home, self._record.jmx_port, options.database_heap)
        write(layout.etc("cassandra") / "jvm-server.options", text, "database")
        self._describe("database", cassandra.command(layout, jars, home), {})

    def _index(self, node: Node) -> None:
        index.configure(self._layout, self._distribution, self._record.address, node)
        environment = index.environment(self._layout, self._distribution, node.service)
        self._describe(node.service, index.command(self._layout, self._distribution, node.service), environment)

    def minio(self) -> None:
        """The server of the attachments' bucket."""
        layout, options = self._layout, self._options
        environment = minio.environment("minio", self._s3.keys, layout.lib("minio"))
        if options.minio != "none":
            kms_key = self._record.kms_key if options.minio == "encrypted" else None
            environment = minio.configure(layout, environment, kms_key)
        command = minio.command("minio", self._record.address, minio.PORT, layout.lib("minio"))
        self._describe("minio", command, environment)

    def cortex(self) -> None:
        """The stand-in for Cortex and, where it has one, its index server."""
        layout, options, address = self._layout, self._options, self._record.address
        port = index.PORT
        if options.cortex == "own":
            port = index.CORTEX_PORT
            self._index(Node("cortex-index", "cortex", options.cortex_index_heap, port))
        account = cortex.Account(self._record.cortex_password, self._record.cortex_key)
        cortex.configure(layout, address, f"http://{address}:{port}", account)
        home = java.find((17,))
        classpath = standin.build(artefacts.cache(), home.home)
        settings = layout.etc("cortex") / "application.conf"
        self._describe("cortex", standin.command(home.program, classpath, settings, cortex=True), {})

    def thehive(self) -> None:
        """The stand-in for TheHive, where the index server serves it."""
        layout, options, record = self._layout, self._options, self._record
        thehive.configure(
            layout,
            record.address,
            record.cluster,
            options.cluster_name,
            (ROLE, record.database_password),
            thehive.Account(record.thehive_password, record.api_key),
            self._s3 if options.files == "s3" else None,
            cortex.Account(record.cortex_password, record.cortex_key) if options.cortex != "none" else None,
            options.load,
        )
        if not self._distribution.serves_standin:
            return
        home = java.find((17,))
        classpath = standin.build(artefacts.cache(), home.home)
        settings = layout.etc("thehive") / "application.conf"
        self._describe("thehive", standin.command(home.program, classpath, settings), {})

    def _describe(self, service: str, command: list[str], environment: dict[str, str]) -> None:
        layout = self._layout
        data = layout.lib(layout.program(service))
        elsewhere = service == "minio" and self._options.minio == "none"
        services.describe(
            layout.elsewhere if elsewhere else layout.services,
            service,
            command,
            log=layout.log(layout.program(service)) / "console.log",
            pid_file=layout.run(service),
            environment={"TMPDIR": str(layout.root / "tmp"), **environment},
            uid=UIDS[service],
            working_directory=data if data.exists() else layout.log(service),
        )
