"""Apache Cassandra as the lab runs it: fetched, configured, started by the process platform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cassandra import ConsistencyLevel

from propolis_lab.errors import LabError
from propolis_lab.layout import Layout, write
from propolis_lab.programs import artefacts
from propolis_lab.programs.java import Java
from propolis_lab.servers import cql

VERSIONS = {"4.0": "4.0.19", "4.1": "4.1.10", "5.0": "5.0.9"}
PORTS = (cql.PORT, 7000)
JAVA = (17, 11)
_POM = Path(__file__).with_name("cassandra-pom.xml")
_SHADED_DRIVER = {"5.0": {"driver.group": "org.apache.cassandra", "driver.version": "3.12.1"}}

_EXPORTS = """
java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch java.rmi/sun.rmi.registry
java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.server java.sql/java.sql
"""
_OPENS = """
java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.nio
java.base/java.util java.base/java.util.concurrent java.base/java.util.concurrent.atomic
java.base/jdk.internal.loader java.base/jdk.internal.math java.base/jdk.internal.module
java.base/jdk.internal.ref java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch
jdk.management/com.sun.management.internal
"""
OPENED = (
    *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS.split()),
    *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS.split()),
)
"""What the server and its tools want of Java's modules."""
_FAST = """
-Xss256k
-XX:+UseSerialGC
-XX:TieredStopAtLevel=1
-XX:+PerfDisableSharedMem
-Djava.net.preferIPv4Stack=true
-Dcassandra.superuser_setup_delay_ms=0
-Dcassandra.skip_wait_for_gossip_to_settle=0
-Dcassandra.ring_delay_ms=100
-Dcassandra.shutdown_announce_in_ms=0
-Dcassandra.consistent.rangemovement=false
"""
SHARING = (
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:+AllowArchivingWithJavaAgent",
    "-Xshare:auto",
    "-Xlog:cds=off",
    "-Xlog:cds+dynamic=off",
)
"""What Java needs to write or read an archive of classes beside an agent; one that doesn't fit is ignored."""


@dataclass(frozen=True)
class Node:
    """One of a cluster's nodes."""

    address: str
    cluster_name: str
    cluster: tuple[str, ...] = ()
    """Addresses of all its nodes, each a seed; none: it is alone."""

    @property
    def seeds(self) -> tuple[str, ...]:
        """Whom it asks for the others."""
        return self.cluster or (self.address,)


def fetch(version: str = "4.1") -> Path:
    """Folder with the jars of Cassandra 4.0, 4.1 or 5.0, fetched on first use and checked against pinned sums."""
    if version not in VERSIONS:
        raise LabError(f"There is no Cassandra {version} in the lab; choose {', '.join(VERSIONS)}")
    exact = VERSIONS[version]
    target = artefacts.cache() / f"cassandra-{exact}"
    with artefacts.being_made(target) as part:
        if part is not None:
            properties = {"cassandra.version": exact, **_SHADED_DRIVER.get(version, {})}
            artefacts.maven_dependencies(_POM, properties, part)
            artefacts.check(part, f"cassandra-{exact}")
    return target


def options(layout: Layout, jars: Path, java: Java, jmx_port: int, heap: int) -> str:
    """The text of `jvm-server.options`: small and quick to start, not fast under load. `heap` in MiB."""
    lines = [f"-Xms{heap}m", f"-Xmx{heap}m", f"-javaagent:{next(jars.glob('jamm-*.jar'))}"]
    lines += _FAST.split()
    lines += OPENED
    lines += [
        "-Djdk.attach.allowAttachSelf=true",
        "-Dio.netty.tryReflectionSetAccessible=true",
        f"-Dcassandra.jmx.local.port={jmx_port}",
        f"-Dcassandra.config=file://{layout.etc('cassandra')}/cassandra.yaml",
        f"-Dlogback.configurationFile=file:{layout.etc('cassandra')}/logback.xml",
        f"-Dcassandra.logdir={layout.log('cassandra')}",
        f"-Dcassandra.storagedir={layout.lib('cassandra')}",
        f"-Djava.io.tmpdir={layout.root}/tmp",
        "-Dcassandra-foreground=yes",
    ]
    if (classes := java.archive_of(jars)).exists():
        lines += [*SHARING, f"-XX:SharedArchiveFile={classes}"]
    if java.major >= 17:
        lines.append("-Djava.security.manager=allow")
    return "\n".join(lines) + "\n"


def command(layout: Layout, jars: Path, java: Java) -> list[str]:
    """How the server is started."""
    return [
        *(str(java.program), f"@{layout.etc('cassandra')}/jvm-server.options"),
        *("-cp", ":".join(str(jar) for jar in sorted(jars.glob("*.jar")))),
        "org.apache.cassandra.service.CassandraDaemon",
    ]


def configure(layout: Layout, version: str, node: Node) -> None:
    """Write `cassandra.yaml` and `logback.xml`."""
    folder = layout.etc("cassandra")
    write(folder / "cassandra.yaml", _yaml(layout, version, node), "database")
    write(folder / "logback.xml", _LOGBACK, "database")


def _yaml(layout: Layout, version: str, node: Node) -> str:
    old = version == "4.0"  # settings got units in their values with 4.1

    def time(name: str, seconds: int) -> str:
        return f"{name}_in_ms: {seconds * 1000}" if old else f"{name}: {seconds}s"

    def size(name: str, mebibytes: int) -> str:
        return f"{name}_in_mb: {mebibytes}" if old else f"{name}: {mebibytes}MiB"

    folders = layout.cassandra_folders
    # Nodes that start at once can't heed each other's tokens.
    allocation = "" if node.cluster else "allocate_tokens_for_local_replication_factor: 1\n"
    timeouts = "\n".join(
        time(f"{kind}_timeout", 60)
        for kind in ("request", "read_request", "range_request", "write_request", "truncate_request")
    )
    return f"""\
# Cassandra storage config YAML
cluster_name: '{node.cluster_name}'
num_tokens: 16
{allocation}partitioner: org.apache.cassandra.dht.Murmur3Partitioner
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager

data_file_directories:
    - {folders["data"]}
commitlog_directory: {folders["commitlog"]}
hints_directory: {folders["hints"]}
saved_caches_directory: {folders["saved_caches"]}
cdc_raw_directory: {folders["cdc_raw"]}

commitlog_sync: periodic
{time("commitlog_sync_period", 10)}
{size("commitlog_segment_size", 8)}
{size("commitlog_total_space", 64)}

seed_provider:
    - class_name: org.apache.cassandra.locator.SimpleSeedProvider
      parameters:
          - seeds: "{",".join(node.seeds)}"
listen_address: {node.address}
rpc_address: {node.address}
storage_port: 7000
ssl_storage_port: 7001
start_native_transport: true
native_transport_port: {cql.PORT}
endpoint_snitch: SimpleSnitch
auto_bootstrap: false

auto_snapshot: true
incremental_backups: false
phi_convict_threshold: 16
{timeouts}
"""


_LOGBACK = """\
<configuration>
  <appender name="SYSTEMLOG" class="ch.qos.logback.core.FileAppender">
    <file>${cassandra.logdir}/system.log</file>
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="SYSTEMLOG"/></root>
</configuration>
"""


GRAPH_TABLES = (
    "edgestore", "edgestore_lock_", "graphindex", "graphindex_lock_", "janusgraph_ids", "system_properties",
    "system_properties_lock_", "systemlog", "txlog",
)  # fmt: skip
"""The tables of JanusGraph 1.0 in its keyspace."""


def create_graph_tables(address: str, user: str, superuser_password: str, nodes: int = 1) -> None:
    """Make the tables that JanusGraph 1.0 can't make on Cassandra 5, which refuses its form of a compression option.

    It uses tables that are there already.
    """
    with cql.session(address, "cassandra", superuser_password) as session:
        session.execute(
            "CREATE KEYSPACE IF NOT EXISTS thehive "
            f"WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {nodes}}}"
        )
        for table in GRAPH_TABLES:
            session.execute(
                f"CREATE TABLE IF NOT EXISTS thehive.{table} "
                "(key blob, column1 blob, value blob, PRIMARY KEY (key, column1))"
            )
        session.execute(f"GRANT ALL PERMISSIONS ON KEYSPACE thehive TO {user}")


def replicate_roles(address: str, nodes: int) -> None:
    """On a new cluster, whose accounts lie on one node only: let every node have them."""
    with cql.session(address, "cassandra", "cassandra", consistency=ConsistencyLevel.ALL) as session:
        session.execute(
            "ALTER KEYSPACE system_auth "
            f"WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {nodes}}}"
        )
        for (table,) in session.execute(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system_auth'"
        ):
            session.execute(f"SELECT * FROM system_auth.{table}").all()  # a read of all replicas makes them equal


def create_role(address: str, user: str, password: str, superuser_password: str) -> None:
    """On a new database: a role for TheHive that may do no more than it needs, and no default password."""
    with cql.session(address, "cassandra", "cassandra") as session:
        # Role statements take no bound values; all three are letters and digits of our own making.
        session.execute(f"CREATE ROLE IF NOT EXISTS {user} WITH PASSWORD = '{password}' AND LOGIN = true")
        session.execute(f"GRANT CREATE ON ALL KEYSPACES TO {user}")
        session.execute(f"ALTER ROLE cassandra WITH PASSWORD = '{superuser_password}'")
