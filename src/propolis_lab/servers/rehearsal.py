"""Keeps archives of the classes that servers load, so that each later start costs less: a sixth of Cassandra's, a
quarter of the index's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from propolis_lab import http
from propolis_lab.errors import LabError
from propolis_lab.layout import UIDS, IndexKind, Layout, own, write
from propolis_lab.programs import artefacts, java
from propolis_lab.servers import answers, cassandra, index, ports

_WAIT = 300.0


def rehearse(version: str = "4.1") -> None:
    """Start this Cassandra once, with nothing in it, and let Java write the archive as it stops; once for a cache.

    Worth its time where Cassandra will be started many times. Raises LabError if it doesn't start or stop.
    """
    jars = cassandra.fetch(version)
    home = java.find(cassandra.JAVA)
    with _stage(home.archive_of(jars)) as root:
        if root is None:
            return
        layout = Layout(root, "elasticsearch")
        layout.make(["database"])
        address = ports.claim_address(root, cassandra.PORTS)
        cassandra.configure(layout, version, cassandra.Node(address, "rehearsal"))
        options = cassandra.options(layout, jars, home, ports.claim_port(root), heap=256)
        options += "\n".join((*cassandra.SHARING, _writes(root))) + "\n"
        write(layout.etc("cassandra") / "jvm-server.options", options, "database")
        command = cassandra.command(layout, jars, home)
        _play(root, "database", command, {}, lambda: answers.database(address, "cassandra", "cassandra"))


def rehearse_index(kind: IndexKind) -> None:
    """The same for the default Elasticsearch or OpenSearch, with a document in it."""
    distribution = index.fetch(kind)
    with _stage(index.java_for(distribution).archive_of(distribution.folder)) as root:
        if root is None:
            return
        layout = Layout(root, kind)
        layout.make(["index"])
        address = ports.claim_address(root, index.PORTS)
        node = index.Node("index", "rehearsal", heap=256)
        index.configure(layout, distribution, address, node)
        java_itself, *rest = index.command(layout, distribution, "index")
        url = f"http://{address}:{node.port}"

        def used() -> bool:
            return answers.index(url) and all(
                http.request(method, f"{url}/rehearsal/{path}", data=data).status < 300
                for method, path, data in (("POST", "_doc?refresh=true", {"text": "said"}), ("GET", "_search", None))
            )

        environment = index.environment(layout, distribution, "index")
        _play(root, "index", [java_itself, _writes(root), *rest], environment, used)


@contextmanager
def _stage(archive: Path) -> Iterator[Path | None]:
    """A folder for a server; the archive that Java writes there is kept. None if there is one already."""
    with artefacts.being_made(archive.parent) as part:
        if part is None:
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="propolis-rehearsal-") as folder:
            root = Path(folder)
            root.chmod(0o755)
            try:
                yield root
                shutil.copy(_written(root), part / archive.name)
            finally:
                ports.release_all(root)
            (part / archive.name).chmod(0o644)


def _written(root: Path) -> Path:
    """Where Java writes the archive first."""
    return root / "written/classes.jsa"


def _writes(root: Path) -> str:
    return f"-XX:ArchiveClassesAtExit={_written(root)}"


def _play(
    root: Path, service: str, command: Sequence[str], environment: dict[str, str], ready: Callable[[], bool]
) -> None:
    """Start it as its own user, wait until it is ready, and stop it."""
    _written(root).parent.mkdir()
    own(_written(root).parent, service)
    user = UIDS[service] if os.geteuid() == 0 else None
    with (root / "console.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=root,
            env={**os.environ, **environment},
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
        try:
            answers.until(ready, f"The rehearsal of the {service}", _WAIT, lambda: process.poll() is None)
            process.terminate()
            process.wait(_WAIT)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"The rehearsal of the {service} does not end") from error
        finally:
            process.kill()
            process.wait()
    if not _written(root).exists():
        raise LabError(f"The {service}'s rehearsal left no archive:\n{(root / 'console.log').read_text()[-1000:]}")
