"""`python -m propolis_lab`: real servers for a TheHive of one's own, to try things on."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from propolis.errors import PropolisError
from propolis_lab import interrupts
from propolis_lab.demo import Demo, Story
from propolis_lab.lab import Lab, Options
from propolis_lab.prepare import prepare
from propolis_lab.programs import install
from propolis_lab.servers import cassandra

app = typer.Typer(
    name="propolis_lab",
    help="Starts real Cassandra, Elasticsearch or OpenSearch, MinIO and a stand-in for TheHive on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)

Root = Annotated[Path, typer.Option("--root", help="The lab's own folder; it must be new or empty")]
_ROOT = Path("/tmp/propolis-lab")


@app.command()
def up(
    root: Root = _ROOT,
    cases: Annotated[int, typer.Option(min=0, help="Cases to make")] = 20,
    attachments: Annotated[int, typer.Option(min=0, help="Attachments to make")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed makes the same cases and attachments")] = 1,
    files: Annotated[Literal["folder", "s3"], typer.Option(help="Where attachments lie; s3 is a MinIO")] = "folder",
    index_kind: Annotated[
        Literal["elasticsearch", "opensearch"], typer.Option("--index", help="The index server")
    ] = "elasticsearch",
    index_version: Annotated[
        str | None,
        typer.Option(help="Another version of the index server, as 8.19.21 or 9.5.3: with documents, but no TheHive"),
    ] = None,
    cassandra_version: Annotated[
        str, typer.Option("--cassandra", help=f"One of {', '.join(cassandra.VERSIONS)}")
    ] = "4.1",
    cluster_name: Annotated[str, typer.Option(help="Name of both clusters")] = "thp",
    load: Annotated[float, typer.Option(min=0, help="Writes per second that go on by themselves")] = 0,
    empty: Annotated[
        bool, typer.Option("--empty", help="Configure only, with no data: a host to restore to")
    ] = False,
    like: Annotated[Path | None, typer.Option(help="Take the passwords of the lab under that root")] = None,
    install_missing: Annotated[
        bool, typer.Option("--install", help="Install missing Debian packages first (as root)")
    ] = False,
) -> None:
    """Bring a lab up: fetch, configure, start, wait until all answer, fill. Nothing stays if that fails."""
    if install_missing:
        install.install()
    options = Options(
        files=files,
        index=index_kind,
        index_version=index_version,
        cassandra=cassandra_version,
        cluster_name=cluster_name,
        cases=cases,
        attachments=attachments,
        seed=seed,
        load=load,
        empty=empty,
        like=str(like) if like else None,
    )
    started = time.monotonic()
    lab = Lab.up(root, options, lambda text: out.print(text))
    out.print(f"Up after {time.monotonic() - started:.0f} s.")
    _show(lab)


@app.command()
def down(root: Root = _ROOT) -> None:
    """End every process of the lab and remove its folder."""
    with interrupts.put_off():
        Lab.open(root).down()
    out.print(f"Nothing of the lab under {root} is left.")


@app.command()
def status(root: Root = _ROOT) -> None:
    """Show the lab's services, whether each answers, and how to reach them."""
    _show(Lab.open(root))


@app.command()
def start(root: Root = _ROOT) -> None:
    """Start the lab's stopped services and wait until all answer."""
    lab = Lab.open(root)
    lab.start_all(lambda text: out.print(text))
    _show(lab)


@app.command()
def stop(root: Root = _ROOT) -> None:
    """Stop the lab's services, in order."""
    Lab.open(root).stop_all()


@app.command()
def demo(
    files: Annotated[Literal["folder", "s3"], typer.Option(help="Where attachments lie; s3 is a MinIO")] = "folder",
    index_kind: Annotated[
        Literal["elasticsearch", "opensearch"], typer.Option("--index", help="The index server")
    ] = "elasticsearch",
    cases: Annotated[int, typer.Option(min=1, help="Cases to make")] = 200,
    attachments: Annotated[int, typer.Option(min=1, help="Attachments to make")] = 2000,
) -> None:
    """Tell the whole story: a stack, two backups, a disaster, a restore, the proof. Ends with 0 if all is equal."""
    story = Story(Options(files=files, index=index_kind, cases=cases, attachments=attachments))
    if not Demo(story).run():
        raise typer.Exit(1)


@app.command()
def fetch(
    everything: Annotated[bool, typer.Option("--all", help="Every selectable version")] = False,
    install_missing: Annotated[
        bool, typer.Option("--install", help="Install missing Debian packages first (as root)")
    ] = False,
) -> None:
    """Fetch and build all servers into the cache, so that `up` needs no network."""
    if install_missing:
        install.install()
    prepare(everything, lambda text: out.print(text))


def _show(lab: Lab) -> None:
    table = Table("service", "process", "answers", "MiB")
    for name in lab.services:
        running = lab.running(name)
        table.add_row(
            name,
            "running" if running else "stopped",
            "yes" if running and _answers(lab, name) else "no",
            f"{_memory(lab, name)}" if running else "",
        )
    out.print(table)
    if "thehive" in lab.services:
        out.print(f"TheHive {lab.thehive_url}  login {lab.account.login}")
    out.print(f"Passwords and API key: {lab.layout.record}")
    out.print(f"Index {lab.index_url}  Cassandra {lab.address}  configuration {lab.layout.etc('')}")


def _answers(lab: Lab, name: str) -> bool:
    try:
        return lab.answers(name)
    except Exception:  # whatever the reason, it does not answer
        return False


def _memory(lab: Lab, name: str) -> int:
    """Resident memory of the service in MiB."""
    total = 0
    for pid in lab.platform.pids(name):
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
        Console(stderr=True).print("Interrupted; nothing of the lab is left.")
        sys.exit(130)
