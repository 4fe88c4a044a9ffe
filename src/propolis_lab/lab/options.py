"""What kind of lab is wanted, and what a lab knows of itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from propolis_lab.errors import LabError
from propolis_lab.layout import IndexKind, Layout

FilesKind = Literal["folder", "s3"]
CortexKind = Literal["none", "own", "thehive"]
MinioKind = Literal["none", "own", "encrypted"]
Reach = Literal["command", "ssh"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of lab is wanted."""

    files: FilesKind = "folder"
    """`s3`: attachments lie in a bucket, of a MinIO that belongs to somebody else unless `minio` says more."""
    minio: MinioKind = "none"
    """With files in a bucket: `own` makes MinIO a service of the stack; `encrypted`, one that encrypts all."""
    cortex: CortexKind = "none"
    """A stand-in for Cortex beside TheHive, with an index server of its `own` or on that of `thehive`."""
    index: IndexKind = "elasticsearch"
    index_version: str | None = None
    """One of `index.VERSIONS`; with one on which the stand-in can't run, the lab has no `thehive`, and what the
    stand-in once made of 20 cases and 40 attachments stands for whatever number of them is wanted."""
    cassandra: str = "4.1"
    cluster_name: str = "thp"
    cases: int = 0
    attachments: int = 0
    jobs: int = 40
    """Jobs that Cortex has run, if there is one."""
    seed: int = 1
    load: float = 0.0
    """Writes per second that the stand-in makes by itself."""
    nodes: int = 1
    """More than one: a cluster, with TheHive on a host and each node of the database and of the index on another."""
    reach: Reach = "command"
    """How a cluster's coordinator reaches the other hosts: by starting a process, or over a real SSH."""
    empty: bool = False
    """Configure everything, start nothing: a host to restore to."""
    like: str | None = None
    """Root of a lab whose passwords are used, as two hosts configured by one hand have them."""
    database_heap: int = 256
    index_heap: int = 384
    cortex_index_heap: int = 256
    """Heaps in MiB."""

    def check(self) -> None:
        """Raise LabError for options that don't go together."""
        if self.nodes != 1 and (
            self.nodes < 1 or self.cortex != "none" or self.minio != "none" or self.files != "folder"
        ):
            raise LabError("A cluster of the lab has TheHive with its files in a folder, and nodes of two servers")
        if self.minio != "none" and self.files != "s3":
            raise LabError("A stack's own MinIO holds TheHive's files", next="Choose files in a bucket: --files s3")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a lab knows of itself, kept in its root."""

    options: Options
    address: str
    jmx_port: int
    database_password: str
    superuser_password: str
    thehive_password: str
    api_key: str
    s3_access_key: str
    s3_secret_key: str
    cortex_password: str
    cortex_key: str
    kms_key: str
    """MinIO's key of keys: 32 bytes in Base64."""
    host: str = ""
    """The host's name in a lab of several hosts, each of which is a lab with services and a record of its own."""
    nodes: dict[str, str] = {}
    """There: name → address of the hosts with a node of the database and one of the index."""

    @property
    def services(self) -> tuple[str, ...]:
        """Which services this host has."""
        options = self.options
        if self.host:
            return ("database", "index") if self.host in self.nodes else ("thehive",)
        own_minio = ("minio",) if options.files == "s3" else ()
        cortex = {"none": (), "thehive": ("cortex",), "own": ("cortex", "cortex-index")}[options.cortex]
        return ("database", "index", "thehive", *own_minio, *cortex)

    @property
    def cluster(self) -> tuple[str, ...]:
        """Addresses of the nodes of the database and of the index."""
        return tuple(self.nodes.values()) or (self.address,)

    @property
    def nearest(self) -> str:
        """Address of a node: this host's own, if it has one."""
        return self.cluster[0] if "database" not in self.services else self.address

    def save(self, root: Path) -> None:
        """Keep it in the lab's root; it holds passwords."""
        path = Layout(root, self.options.index).record
        path.parent.mkdir(mode=0o755, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(msgspec.json.encode(self).decode())

    @classmethod
    def of(cls, root: Path) -> Record:
        """That of the lab under a root. Raises LabError if there is none."""
        try:
            return msgspec.json.decode(Layout(root, "elasticsearch").record.read_bytes(), type=cls)
        except FileNotFoundError as error:
            raise LabError(f"There is no lab under {root}") from error
