"""Elasticsearch and OpenSearch as the lab runs them: configured and started by the process platform."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from propolis_lab.errors import LabError
from propolis_lab.layout import IndexKind, Layout, own, write
from propolis_lab.programs import artefacts, java
from propolis_lab.programs import distributions as index_distributions
from propolis_lab.programs.distributions import Distribution
from propolis_lab.programs.java import Java

PORT = 9200
CORTEX_PORT = 9201
PORTS = (PORT, 9300, CORTEX_PORT, 9301)
VERSIONS: dict[IndexKind, tuple[str, ...]] = {
    "elasticsearch": ("7.17.29", "8.19.21", "9.5.3"),
    "opensearch": ("2.19.6", "3.6.0"),
}
"""The first of each is the default, on which the stand-in runs."""

_FIRST_PROCESS = {
    "7.17.29": "org.elasticsearch.bootstrap.Elasticsearch",
    "2.19.6": "org.opensearch.bootstrap.OpenSearch",
}
"""The class that serves, of versions that serve from the process which was started."""

_SHARING = ("-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
"""An archive of classes that doesn't fit is ignored."""

_UNWANTED = (
    *("Xlog:gc", "Xloggc", "HeapDumpPath", "ErrorFile"),  # paths relative to the distribution, which is read-only
    *("UseG1GC", "UseConcMarkSweepGC", "G1", "CMS"),  # the collector is set below
)


@dataclass(frozen=True)
class Node:
    """One of a lab's index servers."""

    service: str
    cluster_name: str
    heap: int
    """In MiB."""
    port: int = PORT
    name: str = ""
    """`node.name`; by default the cluster's, with a number."""
    cluster: Mapping[str, str] = field(default_factory=dict)
    """Name → address of all nodes of its cluster, each a master at first; none: it is alone."""

    @property
    def transport_port(self) -> int:
        """Where other nodes would reach it."""
        return self.port + 100


def fetch(kind: IndexKind, version: str | None = None) -> Distribution:
    """The unpacked distribution, fetched and assembled on first use."""
    return index_distributions.prepare(kind, version or VERSIONS[kind][0], artefacts.cache(), java.find((17,)).home)


def java_for(distribution: Distribution) -> Java:
    """The Java that runs it. Raises MissingError."""
    return java.find(distribution.java_majors, compiler=False)


def command(layout: Layout, distribution: Distribution, service: str) -> list[str]:
    """How the server is started, once it is configured.

    It is what its own script runs in the end, after asking half a dozen of Javas what that should be, which takes as
    long as to load the server. Servers that start another process from their first one are left to their script.
    """
    if distribution.version not in _FIRST_PROCESS:
        return [str(distribution.folder / "bin" / distribution.kind)]
    kind, home = distribution.kind, distribution.folder
    shared = java_for(distribution).archive_of(home)
    prefix = "es" if kind == "elasticsearch" else kind
    settings = {
        "path.home": home,
        "path.conf": layout.etc(layout.program(service)),
        "distribution.type": "zip",
        "bundled_jdk": "false",
    }
    if kind == "elasticsearch":
        settings["distribution.flavor"] = "oss"
    return [
        str(java_for(distribution).program),
        *_java_options(layout, distribution, service),
        *([*_SHARING, f"-XX:SharedArchiveFile={shared}"] if shared.exists() else []),
        *(f"-D{prefix}.{name}={value}" for name, value in settings.items()),
        *("-cp", f"{home}/lib/*", _FIRST_PROCESS[distribution.version]),
    ]


def _java_options(layout: Layout, distribution: Distribution, service: str) -> list[str]:
    """What its own parser makes of its files of options."""
    kind, home = distribution.kind, distribution.folder
    plugins = [str(home / "plugins")] if kind == "elasticsearch" else []
    parser = [
        *(str(java_for(distribution).program), "-Xshare:auto", "-cp", f"{home}/lib/*"),
        f"org.{kind}.tools.launchers.JvmOptionsParser",
        *(str(layout.etc(layout.program(service))), *plugins),
    ]
    done = subprocess.run(
        parser,
        env={**os.environ, **environment(layout, distribution, service)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"{kind} does not accept its Java options:\n{done.stderr[-1000:]}")
    return done.stdout.split()


def environment(layout: Layout, distribution: Distribution, service: str) -> dict[str, str]:
    """What it and its start script want to know."""
    prefix = "ES" if distribution.kind == "elasticsearch" else "OPENSEARCH"
    home = str(java_for(distribution).home)
    name = layout.program(service)
    return {
        "HOME": str(layout.lib(name)),
        "LIBFFI_TMPDIR": str(layout.root / "tmp"),
        f"{prefix}_PATH_CONF": str(layout.etc(name)),
        f"{prefix}_JAVA_HOME": home,
        f"{prefix}_TMPDIR": str(layout.root / "tmp"),
    }


def configure(layout: Layout, distribution: Distribution, address: str, node: Node) -> None:
    """Write its configuration folder: the distribution's own, changed where needed."""
    kind = distribution.kind
    folder = layout.etc(layout.program(node.service))
    shutil.copytree(distribution.folder / "config", folder, dirs_exist_ok=True)
    options = folder / "jvm.options"
    kept = [
        line
        for line in options.read_text().splitlines()
        if line.startswith("#") or not any(word in line for word in _UNWANTED)
    ]
    options.write_text("\n".join(kept) + "\n")
    (folder / "jvm.options.d").mkdir(exist_ok=True)
    lab = [
        f"-Xms{node.heap}m",
        f"-Xmx{node.heap}m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
    ]
    (folder / "jvm.options.d" / "lab.options").write_text("\n".join(lab) + "\n")
    for path in (folder, *folder.rglob("*")):
        own(path, node.service)
        path.chmod(0o750 if path.is_dir() else 0o640)
    write(folder / f"{kind}.yml", _yaml(layout, kind, address, node), node.service)


def _yaml(layout: Layout, kind: IndexKind, address: str, node: Node) -> str:
    name = layout.program(node.service)
    snapshots = f'path.repo: ["{layout.snapshots}"]\n' if node.service == "index" else ""
    discovery = "discovery.type: single-node"
    if node.cluster:
        hosts = [f"{other}:{node.transport_port}" for other in node.cluster.values()]
        first = "master" if kind == "elasticsearch" else "cluster_manager"
        discovery = (
            f"discovery.seed_hosts: {json.dumps(hosts)}\n"
            f"cluster.initial_{first}_nodes: {json.dumps(list(node.cluster))}"
        )
    security = "xpack.security.enabled: false\n" if kind == "elasticsearch" else ""
    return f"""\
# {kind.capitalize()} configuration
cluster.name: {node.cluster_name}
node.name: {node.name or f"{node.cluster_name}-1"}
path.data: {layout.lib(name)}
path.logs: {layout.log(name)}
{snapshots}network.host: {address}
http.port: {node.port}
transport.port: {node.transport_port}
{discovery}
# The lab's data is small, whatever else fills the disk.
cluster.routing.allocation.disk.threshold_enabled: false
{security}"""
