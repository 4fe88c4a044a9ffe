"""Keeps an archive of the classes that Cassandra loads, so that each later start costs about a sixth less."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from propolis_lab.errors import LabError
from propolis_lab.layout import Layout, write
from propolis_lab.programs import artefacts, java
from propolis_lab.programs.java import Java
from propolis_lab.servers import answers, cassandra, ports

_WAIT = 300.0


def rehearse(version: str = "4.1") -> None:
    """Start this Cassandra once, with nothing in it, and let Java write the archive as it stops; once for a cache.

    Worth its time where Cassandra will be started many times. Raises LabError if it doesn't start or stop.
    """
    jars = cassandra.fetch(version)
    home = java.find(cassandra.JAVA)
    archive = cassandra.archive(jars, home)
    with artefacts.being_made(archive.parent) as part:
        if part is not None:
            with tempfile.TemporaryDirectory(prefix="propolis-rehearsal-") as folder:
                try:
                    _play(Path(folder), version, jars, home, part / archive.name)
                finally:
                    ports.release_all(Path(folder))


def _play(root: Path, version: str, jars: Path, home: Java, archive: Path) -> None:
    layout = Layout(root, "elasticsearch")
    layout.make(["database"])
    address = ports.claim_address(root, cassandra.PORTS)
    cassandra.configure(layout, version, cassandra.Node(address, "rehearsal"))
    options = cassandra.options(layout, jars, home, ports.claim_port(root), heap=256)
    options += "\n".join((*cassandra.SHARING, f"-XX:ArchiveClassesAtExit={archive}")) + "\n"
    write(layout.etc("cassandra") / "jvm-server.options", options, "database")
    with (root / "console.log").open("w") as log:
        process = subprocess.Popen(
            cassandra.command(layout, jars, home), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=root
        )
        try:
            answers.until(
                lambda: answers.database(address, "cassandra", "cassandra"),
                "Cassandra's rehearsal",
                _WAIT,
                lambda: process.poll() is None,
            )
            process.terminate()
            process.wait(_WAIT)
        except subprocess.TimeoutExpired as error:
            raise LabError("Cassandra's rehearsal does not end") from error
        finally:
            process.kill()
            process.wait()
    if not archive.exists():
        raise LabError(f"Cassandra's rehearsal left no archive:\n{(root / 'console.log').read_text()[-1000:]}")
    archive.chmod(0o644)
