"""MinIO, where it is the stack's own: its folders are backed up while it is stopped, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from propolis.config.schema import Config, MinioConfig, S3Files
from propolis.config.secrets import Login
from propolis.stack.asking.retry import Alive
from propolis.stack.minio import server
from propolis.stack.minio.encryption import encryption
from propolis.stack.model import BackedUp, FolderTree, Service, Tree, nothing_immutable
from propolis.stack.rules import Asking, Check, Rule


class Minio(Service[server.MinioFacts]):
    """MinIO on this host, all of whose drives are folders of this host."""

    role = "minio"
    label = "MinIO"
    proof = "/minio/health/ready"
    optional = "minio"
    proven = True
    names = ("files/minio-data", "config/minio")

    def __init__(self, config: Config, section: MinioConfig, files: S3Files) -> None:
        super().__init__()
        self.config = config
        self.section = section
        self.files = files

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The section `minio`, where there is one."""
        if config.minio is None or not isinstance(config.files, S3Files):
            return None
        return cls(config, config.minio, config.files)

    @property
    def address(self) -> str:
        """Its URL."""
        return self.section.url

    def trees(self) -> tuple[Tree, ...]:
        """Each drive's folder, `.minio.sys` with it, and configuration where it has a folder."""
        data = [
            FolderTree("files", f"files/minio-data-{number}", self.role, nothing_immutable, folder)
            for number, folder in enumerate(self.section.data)
        ]
        if self.section.config is None:
            return tuple(data)
        return (*data, FolderTree("config", "config/minio", self.role, nothing_immutable, self.section.config))

    def answers(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> None:
        """Wait until it is ready to serve; that needs no login."""
        server.answers(self.section, timeout, alive)

    def facts(self) -> server.MinioFacts:
        """Its version, and with what it encrypts."""
        return server.MinioFacts(server.version(self.section, self.files), encryption(self.config, self.section))

    def rules(self) -> tuple[Rule[Asking], ...]:
        """Whether it answers, and whether a backup holds the key without which its data is worthless."""
        return (
            Rule("minio", self._answers, stops=("doctor", "backup"), warns=("restore",)),
            Rule("minio bucket", self._bucket, stops=("doctor", "backup")),
            Rule("minio encryption", self._encryption, warns=("backup",)),
        )

    def _answers(self, look: Asking) -> Iterator[Check]:
        if look.asks(self.role):
            look.wait(self.role)
            yield Check("minio", "ok", f"answers at {self.section.url} ({self.told.get().release})")

    def _bucket(self, look: Asking) -> Iterator[Check]:
        """Whether these are the folders in which the bucket lies: MinIO has one for each bucket on every drive."""
        bucket = self.files.bucket
        lacking = [folder for folder in self.section.data if not (folder / bucket).is_dir()]
        if lacking:
            hint = "Set minio.data to MinIO's drives, or remove the section minio, if the bucket is on another server"
            yield Check("minio bucket", "fail", f"{lacking[0]} holds no bucket {bucket}", hint)
        else:
            yield Check("minio bucket", "ok", f"the bucket {bucket} is in these folders")

    def _encryption(self, look: Asking) -> Iterator[Check]:
        found, name = encryption(self.config, self.section), "minio encryption"
        if not found.told:
            message = "whether MinIO encrypts can't be determined: its environment is unknown"
            yield Check(name, "warn", message, "Set minio.environment to the file with its variables")
        elif not found.name:
            yield Check(name, "ok", "MinIO does not encrypt: no KMS is set")
        elif found.kept:
            yield Check(name, "ok", f"MinIO encrypts with the {found.name}, which is backed up in config/minio")
        else:
            message = f"MinIO encrypts with the {found.name} ({found.where}), which is not in the backup"
            hint = (
                "Keep a copy of it elsewhere, or put it into the folder minio.config: without it the data "
                "can't be read"
            )
            yield Check(name, "warn", message, hint)

    def same(self, backed_up: BackedUp, look: Asking) -> Iterator[Check]:
        """Check that MinIO can decrypt what is restored, too."""
        yield from super().same(backed_up, look)
        was, here = str(backed_up.facts.get("minio_encryption", "")), encryption(self.config, self.section)
        if was and here.told and was != here.name:
            has = f"this host's with the {here.name}" if here.name else "this host's with none"
            yield Check(
                "minio encryption",
                "warn" if here.kept and here.name else "fail",  # its key may come with config/minio
                f"the backup's MinIO encrypts with the {was}, {has}",
                "Give MinIO that key before the restore: it can't read the data without it",
            )

    def _fits(self, backed_up: str, here: str) -> bool:
        """Versions are dates, e.g. 2025-04-22T22:12:26Z; any other can't be compared."""
        was, now = backed_up.partition(" ")[2], here.partition(" ")[2]
        return not (was[:1].isdigit() and now[:1].isdigit()) or now >= was
