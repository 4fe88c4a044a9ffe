"""`python -m propolis_lab`: real servers for a TheHive of one's own, to try things on."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from propolis.errors import PropolisError
from propolis_lab import interrupts
from propolis_lab.demo import Demo, Story
from propolis_lab.lab import Cluster, Lab, Options
from propolis_lab.lab.options import CortexKind, FilesKind, MinioKind, Reach
from propolis_lab.layout import IndexKind
from propolis_lab.prepare import prepare
from propolis_lab.programs import install
from propolis_lab.servers import cassandra

app = typer.Typer(
    name="propolis_lab",
    help="Start real Cassandra, Elasticsearch or OpenSearch, MinIO, and stand-ins for TheHive and Cortex.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)

Files = Annotated[FilesKind, typer.Option(help="Where attachments are stored; s3 starts a MinIO")]
IndexServer = Annotated[IndexKind, typer.Option("--index", help="Kind of index server")]
CortexServer = Annotated[
    CortexKind, typer.Option("--cortex", help="Add Cortex, on an index server of its own or on TheHive's")
]
OwnMinio = Annotated[
    MinioKind,
    typer.Option("--minio", help="Store attachments in a MinIO that is part of the stack; it may encrypt them"),
]
Nodes = Annotated[
    int,
    typer.Option(
        min=1,
        help="More than one: a cluster of the database and one of the index, each with this many nodes, on as many "
        "hosts of their own",
    ),
]
HowToReach = Annotated[
    Reach,
    typer.Option("--reach", help="How TheHive's host reaches the others of a cluster: by a process, or over SSH"),
]
Root = Annotated[Path, typer.Option("--root", help="The lab's own folder")]
_ROOT = Path("/tmp/propolis-lab")


@app.command()
def up(
    root: Root = _ROOT,
    cases: Annotated[int, typer.Option(min=0, help="Number of cases to create")] = 20,
    attachments: Annotated[int, typer.Option(min=0, help="Number of attachments to create")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed creates the same cases and attachments")] = 1,
    files: Files = "folder",
    minio: OwnMinio = "none",
    cortex: CortexServer = "none",
    index_kind: IndexServer = "elasticsearch",
    index_version: Annotated[
        str | None,
        typer.Option(
            help="Another version of the index server, e.g. 9.5.3; it gets documents, but there is no TheHive"
        ),
    ] = None,
    cassandra_version: Annotated[
        str, typer.Option("--cassandra", help=f"Version of Cassandra: {', '.join(cassandra.VERSIONS)}")
    ] = "4.1",
    cluster_name: Annotated[str, typer.Option(help="Name of both clusters")] = "thp",
    nodes: Nodes = 1,
    reach: HowToReach = "command",
    load: Annotated[float, typer.Option(min=0, help="Keep writing at this rate (writes per second)")] = 0,
    empty: Annotated[
        bool, typer.Option("--empty", help="Configure everything, start nothing: a host to restore to")
    ] = False,
    like: Annotated[Path | None, typer.Option(help="Use the passwords of the lab in this folder")] = None,
    install_missing: Annotated[
        bool, typer.Option("--install", help="Install missing Debian packages first (as root)")
    ] = False,
) -> None:
    """Create a lab in a new or empty folder, start it and fill it with data. If that fails, nothing is left."""
    if install_missing:
        install.install()
    options = Options(
        files=files if minio == "none" else "s3",
        minio=minio,
        cortex=cortex,
        index=index_kind,
        index_version=index_version,
        cassandra=cassandra_version,
        cluster_name=cluster_name,
        cases=cases,
        attachments=attachments,
        seed=seed,
        load=load,
        nodes=nodes,
        reach=reach,
        empty=empty,
        like=str(like) if like else None,
    )
    started = time.monotonic()
    made = Cluster.up if nodes > 1 else Lab.up
    lab = made(root, options, lambda text: out.print(text))
    out.print(f"The lab is running ({time.monotonic() - started:.0f} s).")
    _show(lab)


@app.command()
def down(root: Root = _ROOT) -> None:
    """Stop every process of the lab and remove its folder."""
    with interrupts.put_off():
        _open(root).down()
    out.print(f"Removed the lab in {root}.")


@app.command()
def status(root: Root = _ROOT) -> None:
    """Show the lab's services, whether each answers, and how to reach them."""
    _show(_open(root))


@app.command()
def start(root: Root = _ROOT) -> None:
    """Start the lab's stopped services and wait until all answer."""
    lab = _open(root)
    lab.start_all(lambda text: out.print(text))
    _show(lab)


@app.command()
def stop(root: Root = _ROOT) -> None:
    """Stop the lab's services, in order."""
    _open(root).stop_all()


@app.command()
def demo(
    files: Files = "folder",
    minio: OwnMinio = "none",
    cortex: CortexServer = "none",
    index_kind: IndexServer = "elasticsearch",
    nodes: Nodes = 1,
    reach: HowToReach = "command",
    cases: Annotated[int, typer.Option(min=1, help="Number of cases to create")] = 200,
    attachments: Annotated[int, typer.Option(min=1, help="Number of attachments to create")] = 2000,
) -> None:
    """Show the whole story: a stack, two backups, a disaster, a restore, the proof. Exits with 0 if all is equal."""
    options = Options(
        files=files if minio == "none" else "s3",
        minio=minio,
        cortex=cortex,
        index=index_kind,
        nodes=nodes,
        reach=reach,
        cases=cases,
        attachments=attachments,
    )
    if not Demo(Story(options)).run():
        raise typer.Exit(1)


@app.command()
def fetch(
    everything: Annotated[bool, typer.Option("--all", help="Fetch every version that can be selected")] = False,
    install_missing: Annotated[
        bool, typer.Option("--install", help="Install missing Debian packages first (as root)")
    ] = False,
) -> None:
    """Fetch and build all servers into the cache, so that `up` needs no network."""
    if install_missing:
        install.install()
    prepare(everything, lambda text: out.print(text))


def _open(root: Path) -> Lab | Cluster:
    return Cluster.open(root) if Cluster.is_at(root) else Lab.open(root)


def _show(shown: Lab | Cluster) -> None:
    hosts = shown.hosts if isinstance(shown, Cluster) else {"": shown}
    table = Table(*(("host", "address") if len(hosts) > 1 else ()), "service", "process", "answers", "MiB")
    for host, lab in hosts.items():
        for name in lab.services:
            running = lab.running(name)
            table.add_row(
                *((host, lab.address) if len(hosts) > 1 else ()),
                name,
                "running" if running else "stopped",
                "yes" if running and _answers(lab, name) else "no",
                f"{_memory(lab, name)}" if running else "",
            )
    out.print(table)
    lab = shown.hive if isinstance(shown, Cluster) else shown
    if "thehive" in lab.services:
        out.print(f"TheHive {lab.thehive_url}  login {lab.account.login}")
    if "cortex" in lab.services:
        out.print(f"Cortex {lab.cortex_url}  index {lab.cortex_index_url}  job folders {lab.layout.jobs}")
    out.print(f"Passwords and API key: {lab.layout.record}")
    out.print(f"Index {lab.index_url}  Cassandra {lab.record.nearest}  configuration {lab.layout.etc('')}")


def _answers(lab: Lab, name: str) -> bool:
    try:
        return lab.answers(name)
    except Exception:  # whatever the reason, it does not answer
        return False


def _memory(lab: Lab, name: str) -> int:
    """Resident memory of the service in MiB."""
    total = 0
    for pid in lab.pids(name):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) // 1024
    return total


def main() -> None:
    """Run the command line; turn errors into one line and an exit code."""
    interrupts.raise_on(signal.SIGTERM, signal.SIGHUP)
    try:
        app()
    except PropolisError as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted. The lab was removed.")
        sys.exit(130)
