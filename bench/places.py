"""Where the repositories of a benchmark lie: a folder, a MinIO, or a folder behind an sshd of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import obstore

from bench import programs
from bench.programs import Program
from propolis.platform.process.platform import ProcessPlatform
from propolis_lab.servers import minio, services, sshd
from propolis_lab.servers.minio import S3Server
from propolis_lab.servers.sshd import Sshd

PlaceName = Literal["folder", "minio", "ssh"]
_SFTP = "/usr/lib/openssh/sftp-server"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Place:
    """A folder with room for repositories, also behind an sshd, or a running MinIO."""

    name: PlaceName
    root: Path
    server: S3Server | None = None
    ssh: Sshd | None = None

    def url(self, tool: str) -> str:
        """A tool's repository: an absolute folder, `s3://bucket/prefix` or `ssh://tool/folder`."""
        if self.ssh is not None:
            return f"ssh://{tool}{self.root / tool}"
        return f"s3://{self.bucket(tool)}/repository" if self.server else str(self.root / tool)

    @staticmethod
    def bucket(tool: str) -> str:
        """A tool's bucket; names shorter than three letters aren't allowed."""
        return f"bench-{tool}"

    def environment(self) -> dict[str, str]:
        """What a client of the server must find in its environment."""
        if self.ssh is not None:
            return {"BENCH_SSH_CONFIG": str(self.ssh.config)}
        if self.server is None:
            return {}
        return {
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "AWS_ACCESS_KEY_ID": self.server.keys.access,
            "AWS_SECRET_ACCESS_KEY": self.server.keys.secret,
        }

    def prepare(self, tool: str) -> None:
        """Make the tool's bucket."""
        if self.server is not None:
            self.server.make_bucket(self.bucket(tool))

    def size(self, tool: str) -> int:
        """Bytes of all that a tool stored."""
        if self.server is None:
            return folder_size(self.root / tool)
        return sum(item["size"] for batch in obstore.list(self.server.store(self.bucket(tool))) for item in batch)

    def server_seconds(self) -> float:
        """CPU seconds that the server has used so far."""
        if self.ssh is not None:
            return sum(_cpu_seconds(pid, ended=True) for pid in _started_by(self.ssh))
        if self.server is None:
            return 0.0
        pids = ProcessPlatform(self.root / "services").pids("minio")
        return sum(_cpu_seconds(pid) for pid in pids)


@contextmanager
def place(name: PlaceName, root: Path, tools: Sequence[str]) -> Iterator[Place]:
    """A place for these tools below a new folder, for as long as the block lasts."""
    root.mkdir(parents=True)
    if name == "folder":
        yield Place(name, root)
        return
    if name == "ssh":
        with sshd.run(root / "sshd", _serving(root, tools)) as running:
            yield Place(name, root, ssh=running)
        return
    with minio.run("minio", root) as server:
        yield Place(name, root, server)


def end_left_over(root: Path) -> None:
    """End the MinIO of a run that was killed."""
    if (root / "services" / "minio.yaml").exists():
        services.end(ProcessPlatform(root / "services"), "minio")


def folder_size(root: Path) -> int:
    """Bytes of the files in a folder, or of the one file."""
    if root.is_file():
        return root.stat().st_size
    return sum((Path(where) / name).lstat().st_size for where, _, names in os.walk(root) for name in names)


def _serving(root: Path, tools: Sequence[str]) -> dict[str, list[str]]:
    """What the far end of each tool is: its own server, or that of SFTP."""
    borg = programs.find("borg") if "borg" in tools else Program((), "")
    settings = [f"{name}={value}" for name, value in borg.environment.items()]
    commands = {
        "propolis": [
            sys.executable,
            "-m",
            "propolis",
            "repository",
            "serve",
            "--maintenance",
            str(root / "propolis"),
        ],
        "restic": [_SFTP],
        "borg": ["/usr/bin/env", *settings, *borg.command, "serve"],
    }
    return {tool: commands[tool] for tool in tools if tool in commands}


def _started_by(server: Sshd) -> list[int]:
    """The sshd that waits for clients: whatever serves them is its child, or was."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(server.folder / "sshd_config").encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _cpu_seconds(pid: int, *, ended: bool = False) -> float:
    """Those of a process, and of its children that have `ended`."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11 : 15 if ended else 13]) / _TICK
