"""Where a lab's files lie: under its root as on a real host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

IndexKind = Literal["elasticsearch", "opensearch"]

UIDS = {"database": 61101, "index": 61102, "thehive": 61103, "minio": 61104}
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
    def record(self) -> Path:
        """What the lab knows of itself (0600: it holds passwords)."""
        return self.root / "etc/lab.json"

    def etc(self, name: str) -> Path:
        """Configuration of `cassandra`, `elasticsearch` or `opensearch`, `thehive`, `minio`."""
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
    def snapshots(self) -> Path:
        """`path.repo` of the index."""
        return self.root / "var/backups" / self.index

    @property
    def cassandra_folders(self) -> dict[str, Path]:
        """Cassandra's data folders by their setting's short name."""
        base = self.lib("cassandra")
        return {name: base / name for name in ("data", "commitlog", "hints", "saved_caches", "cdc_raw")}

    def make(self, with_bucket: bool) -> None:
        """Make all folders, each owned by its service."""
        for folder in (self.services, self.root / "run", self.root / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        self.services.chmod(0o700)
        owned: dict[str, list[Path]] = {
            "database": [
                *(self.etc("cassandra"), self.lib("cassandra"), self.log("cassandra")),
                *self.cassandra_folders.values(),
            ],
            "index": [self.etc(self.index), self.lib(self.index), self.log(self.index), self.snapshots],
            "thehive": [self.etc("thehive"), self.attachments, self.log("thehive")],
        }
        if with_bucket:
            owned["minio"] = [self.etc("minio"), self.lib("minio"), self.log("minio")]
        for service, folders in owned.items():
            for folder in folders:
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
