"""Elasticsearch and OpenSearch as the lab runs them: configured and started by the process platform."""

from __future__ import annotations

import shutil
from pathlib import Path

from propolis_lab.layout import IndexKind, Layout, own, write
from propolis_lab.programs import artefacts, java
from propolis_lab.programs import distributions as index_distributions
from propolis_lab.programs.distributions import Distribution
from propolis_lab.programs.java import Java

PORT = 9200
PORTS = (PORT, 9300)
VERSIONS: dict[IndexKind, tuple[str, ...]] = {
    "elasticsearch": ("7.17.29", "8.19.21", "9.5.3"),
    "opensearch": ("2.19.6", "3.6.0"),
}
"""The first of each is the default, on which the stand-in runs."""

_UNWANTED = (
    *("Xlog:gc", "Xloggc", "HeapDumpPath", "ErrorFile"),  # paths relative to the distribution, which is read-only
    *("UseG1GC", "UseConcMarkSweepGC", "G1", "CMS"),  # the collector is set below
)


def fetch(kind: IndexKind, version: str | None = None) -> Distribution:
    """The unpacked distribution, fetched and assembled on first use."""
    return index_distributions.prepare(kind, version or VERSIONS[kind][0], artefacts.cache(), java.find((17,)).home)


def java_for(distribution: Distribution) -> Java:
    """The Java that runs it. Raises MissingError."""
    return java.find(distribution.java_majors, compiler=False)


def command(distribution: Distribution) -> list[str]:
    """How the server is started."""
    return [str(distribution.folder / "bin" / distribution.kind)]


def environment(layout: Layout, distribution: Distribution) -> dict[str, str]:
    """What its start script wants to know."""
    prefix = "ES" if distribution.kind == "elasticsearch" else "OPENSEARCH"
    home = str(java_for(distribution).home)
    return {
        "HOME": str(layout.lib(distribution.kind)),
        f"{prefix}_PATH_CONF": str(layout.etc(distribution.kind)),
        f"{prefix}_JAVA_HOME": home,
        f"{prefix}_TMPDIR": str(layout.root / "tmp"),
    }


def configure(layout: Layout, distribution: Distribution, address: str, cluster_name: str, heap: int) -> None:
    """Write its configuration folder: the distribution's own, changed where needed. `heap` in MiB."""
    kind = distribution.kind
    folder = layout.etc(kind)
    shutil.copytree(distribution.folder / "config", folder, dirs_exist_ok=True)
    options = folder / "jvm.options"
    kept = [
        line
        for line in options.read_text().splitlines()
        if line.startswith("#") or not any(word in line for word in _UNWANTED)
    ]
    options.write_text("\n".join(kept) + "\n")
    (folder / "jvm.options.d").mkdir(exist_ok=True)
    lab = [f"-Xms{heap}m", f"-Xmx{heap}m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
    (folder / "jvm.options.d" / "lab.options").write_text("\n".join(lab) + "\n")
    for path in (folder, *folder.rglob("*")):
        own(path, "index")
        path.chmod(0o750 if path.is_dir() else 0o640)
    write(folder / f"{kind}.yml", _yaml(layout, kind, address, cluster_name), "index")


def _yaml(layout: Layout, kind: IndexKind, address: str, cluster_name: str) -> str:
    security = "xpack.security.enabled: false\n" if kind == "elasticsearch" else ""
    return f"""\
# {kind.capitalize()} configuration
cluster.name: {cluster_name}
node.name: {cluster_name}-1
path.data: {layout.lib(kind)}
path.logs: {layout.log(kind)}
path.repo: ["{layout.snapshots}"]
network.host: {address}
http.port: {PORT}
transport.port: 9300
discovery.type: single-node
# The lab's data is small, whatever else fills the disk.
cluster.routing.allocation.disk.threshold_enabled: false
{security}"""


def data_folder(layout: Layout) -> Path:
    """`path.data`."""
    return layout.lib(layout.index)
