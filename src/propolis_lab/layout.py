"""Where a lab's files lie: under its root as on a real host."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

IndexKind = Literal["elasticsearch", "opensearch"]

UIDS = {
    "database": 61101,
    "index": 61102,
    "thehive": 61103,
    "minio": 61104,
    "cortex": 61105,
    "cortex-index": 61106,
}
"""Each service has a number of its own; no such user need exist."""


@dataclass(frozen=True)
class Layout:
    """The folders of one lab."""

    root: Path
    index: IndexKind

    @property
    def services(self) -> Path:
        """One description a service, for the process platform."""
        return self.root / "etc/services"

    @property
    def elsewhere(self) -> Path:
        """The same for servers that don't belong to the stack: Propolis finds nothing of them."""
        return self.root / "elsewhere/services"

    @property
    def record(self) -> Path:
        """What the lab knows of itself (0600: it holds passwords)."""
        return self.root / "etc/lab.json"

    def program(self, service: str) -> str:
        """The name of a service's folders, e.g. `cassandra` of `database`, `cortex-opensearch` of `cortex-index`."""
        names = {"database": "cassandra", "index": self.index, "cortex-index": f"cortex-{self.index}"}
        return names.get(service, service)

    def etc(self, name: str) -> Path:
        """Configuration of a program."""
        return self.root / "etc" / name

    def lib(self, name: str) -> Path:
        """Data of a program."""
        return self.root / "var/lib" / name

    def log(self, name: str) -> Path:
        """Logs of a program."""
        return self.root / "var/log" / name

    def run(self, service: str) -> Path:
        """The pid file of a service."""
        return self.root / "run" / f"{service}.pid"

    @property
    def attachments(self) -> Path:
        """`storage.localfs.location`."""
        return self.root / "opt/thp/thehive/files"

    @property
    def acknowledgements(self) -> Path:
        """Where the stand-in writes down what it acknowledged."""
        return self.root / "var/log/thehive/acknowledged.jsonl"

    @property
    def jobs(self) -> Path:
        """`job.directory` of Cortex."""
        return self.root / "opt/cortex/jobs"

    @property
    def minio_environment(self) -> Path:
        """The variables with which a stack's own MinIO is started."""
        return self.root / "etc/default/minio"

    @property
    def snapshots(self) -> Path:
        """`path.repo` of the index."""
        return self.root / "var/backups" / self.index

    @property
    def cassandra_folders(self) -> dict[str, Path]:
        """Cassandra's data folders by their setting's short name."""
        base = self.lib("cassandra")
        return {name: base / name for name in ("data", "commitlog", "hints", "saved_caches", "cdc_raw")}

    def make(self, services: Iterable[str]) -> None:
        """Make all folders, each owned by its service."""
        for folder in (
            self.services,
            self.elsewhere,
            self.root / "run",
            self.root / "tmp",
            self.minio_environment.parent,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        self.services.chmod(0o700)
        self.elsewhere.chmod(0o700)
        more: dict[str, list[Path]] = {
            "database": list(self.cassandra_folders.values()),
            "index": [self.snapshots],
            "thehive": [self.attachments],
            "cortex": [self.jobs],
        }
        for service in services:
            name = self.program(service)
            data = [] if service in ("thehive", "cortex") else [self.lib(name)]
            for folder in (self.etc(name), self.log(name), *data, *more.get(service, ())):
                folder.mkdir(parents=True, exist_ok=True)
                own(folder, service)
                folder.chmod(0o750)
        propolis = self.lib("propolis")
        propolis.mkdir(parents=True, exist_ok=True)
        propolis.chmod(0o700)


def own(path: Path, service: str) -> None:
    """Hand a file or folder over to a service (without root, all belongs to the caller anyway)."""
    if os.geteuid() == 0:
        os.chown(path, UIDS[service], UIDS[service], follow_symlinks=False)


def write(path: Path, text: str, service: str, mode: int = 0o640) -> None:
    """Write a configuration file that its service can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    own(path, service)
