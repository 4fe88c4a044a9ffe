"""Cassandra's own `nodetool`, from the jars with which the lab runs it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from propolis_lab.errors import LabError
from propolis_lab.programs import java
from propolis_lab.servers import cassandra

_FAST = ("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData")
_RING_LINE = re.compile(
    r"^(?P<state>[UD?][NLJM])\s+(?P<address>\S+)\s+.*?\s(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s",
    re.MULTILINE,
)
_NODE_LINE = re.compile(r"^[UD?][NLJM]\s", re.MULTILINE)
_IN_SYNC = "Previewed data was in sync"
_STREAMS = "Total estimated streaming"
_WAIT = 240


@dataclass(frozen=True)
class Member:
    """A node as another one sees it."""

    state: str
    """`UN`: up, and neither joining nor leaving."""
    address: str
    host_id: str


def run(version: str, jmx_port: int, *arguments: str, home: Path | None = None) -> str:
    """What it prints. Raises LabError if it fails. Its history goes to `home`."""
    jars = cassandra.fetch(version)
    runtime = java.find(cassandra.JAVA)
    command = [
        *(str(runtime.program), *_FAST, *cassandra.OPENED),
        *([f"-Duser.home={home}"] if home else []),
        *("-cp", ":".join(str(jar) for jar in sorted(jars.glob("*.jar")))),
        *("org.apache.cassandra.tools.NodeTool", "-h", "127.0.0.1", "-p", str(jmx_port), *arguments),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_WAIT, check=False
    )
    if done.returncode:
        raise LabError(f"nodetool {' '.join(arguments)} failed: {(done.stderr + done.stdout).strip()[-500:]}")
    return done.stdout


def members(status: str) -> tuple[Member, ...]:
    """The nodes in what `nodetool status` printed. Raises LabError if a line of a node can't be understood."""
    found = tuple(Member(line["state"], line["address"], line["id"]) for line in _RING_LINE.finditer(status))
    if not found or len(found) != len(_NODE_LINE.findall(status)):
        raise LabError(f"nodetool status can't be understood:\n{status}")
    return found


def in_sync(preview: str) -> bool:
    """Whether there would be nothing to stream, of what `nodetool repair --full --preview` of a keyspace printed.

    Raises LabError if it tells neither: silence is no proof. (It may print the result twice, or not how it began: it
    hears of both by notifications, of which some get lost.)
    """
    if (_IN_SYNC in preview) == (_STREAMS in preview):
        raise LabError(f"nodetool repair --preview can't be understood:\n{preview[-1000:]}")
    return _IN_SYNC in preview
