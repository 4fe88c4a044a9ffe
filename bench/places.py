"""Where the repositories of a benchmark lie: a folder, or buckets of a MinIO on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import obstore

from propolis.platform.process.platform import ProcessPlatform
from propolis_lab.servers import minio, services
from propolis_lab.servers.minio import S3Server

PlaceName = Literal["folder", "minio"]
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Place:
    """A folder with room for repositories, or a running MinIO."""

    name: PlaceName
    root: Path
    server: S3Server | None = None

    def url(self, tool: str) -> str:
        """A tool's repository: an absolute folder, or `s3://bucket/prefix`."""
        return f"s3://{self.bucket(tool)}/repository" if self.server else str(self.root / tool)

    @staticmethod
    def bucket(tool: str) -> str:
        """A tool's bucket; names shorter than three letters aren't allowed."""
        return f"bench-{tool}"

    def environment(self) -> dict[str, str]:
        """What a client of the server must find in its environment."""
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
        if self.server is None:
            return 0.0
        pids = ProcessPlatform(self.root / "services").pids("minio")
        return sum(_cpu_seconds(pid) for pid in pids)


@contextmanager
def place(name: PlaceName, root: Path) -> Iterator[Place]:
    """A place below a new folder, for as long as the block lasts."""
    root.mkdir(parents=True)
    if name == "folder":
        yield Place(name, root)
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


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
