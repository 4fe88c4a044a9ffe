"""What kind of lab is wanted, and what a lab knows of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from propolis_lab.errors import LabError
from propolis_lab.layout import IndexKind, Layout

FilesKind = Literal["folder", "s3"]
CortexKind = Literal["none", "own", "thehive"]
MinioKind = Literal["none", "own", "encrypted"]


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

    @classmethod
    def of(cls, root: Path) -> Record:
        """That of the lab under a root. Raises LabError if there is none."""
        try:
            return msgspec.json.decode(Layout(root, "elasticsearch").record.read_bytes(), type=cls)
        except FileNotFoundError as error:
            raise LabError(f"There is no lab under {root}") from error
