"""The one schema of `propolis.yaml`: validation, sample file, reference page and JSON Schema come from here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Base of all sections: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretRef(Model):
    """Where a secret is; never the secret itself. Exactly one of the four is set."""

    file: Path | None = Field(None, description="A file that holds the secret alone (0600)")
    env: str | None = Field(None, description="An environment variable's name")
    credential: str | None = Field(None, description="A systemd credential's name (LoadCredential=)")
    hocon: str | None = Field(
        None, description="FILE#KEY in the stack's own configuration, such as application.conf#play.http.secret.key"
    )


class PlatformConfig(Model):
    """How services are controlled."""

    kind: Literal["process"] = Field("process", description="process: plain programs that Propolis starts itself")
    services: Path = Field(description="Folder with one <service>.yaml a program: command, user, environment, pid file")


class TheHiveConfig(Model):
    """The TheHive service."""

    url: str = Field(description="Base URL, as http://127.0.0.1:9000")
    config: Path = Field(description="Its configuration folder, which holds application.conf")


class DatabaseConfig(Model):
    """Cassandra on this host."""

    host: str = Field(description="Address on which Cassandra answers CQL")
    port: int = Field(9042, ge=1, le=65535)
    username: str | None = None
    password: SecretRef | None = None
    keyspace: str = Field("thehive", description="The keyspace that TheHive's JanusGraph uses")
    cluster_name: str
    config: Path = Field(description="Its configuration folder, which holds cassandra.yaml")
    data: tuple[Path, ...] = Field(min_length=1, description="data_file_directories")
    commitlog: Path
    hints: Path
    saved_caches: Path
    cdc_raw: Path | None = None


class IndexConfig(Model):
    """Elasticsearch or OpenSearch on this host."""

    url: str
    username: str | None = None
    password: SecretRef | None = None
    prefix: str = Field("thehive", description="index.search.index-name: TheHive's indices begin with it")
    config: Path = Field(description="Its configuration folder, which holds elasticsearch.yml or opensearch.yml")
    data: Path = Field(description="path.data")


class FolderFiles(Model):
    """Attachments in a folder."""

    kind: Literal["folder"] = "folder"
    folder: Path


class S3Files(Model):
    """Attachments in a MinIO or S3 bucket."""

    kind: Literal["s3"] = "s3"
    endpoint: str | None = None
    region: str = "us-east-1"
    bucket: str
    prefix: str = Field("", description="storage.s3.folder; keys are <prefix>/attachment/<id>")
    access_key: SecretRef
    secret_key: SecretRef


class RepositoryConfig(Model):
    """Where backups are kept."""

    url: str = Field(description="A folder (/backup/thehive) or s3://bucket/prefix")
    endpoint: str | None = Field(None, description="S3 endpoint other than AWS, as https://minio.example:9000")
    region: str = "us-east-1"
    access_key: SecretRef | None = None
    secret_key: SecretRef | None = None
    host_key: Path = Field(description="The host's own age identity (0600): reads manifests, not data")


class Config(Model):
    """One stack and its repository."""

    name: str = Field(description="The stack's name; shown in lists, kept in every manifest")
    state: Path = Field(Path("/var/lib/propolis"), description="Journals, lock and cache of this stack (0700)")
    platform: PlatformConfig
    thehive: TheHiveConfig
    database: DatabaseConfig
    index: IndexConfig
    files: Annotated[FolderFiles | S3Files, Field(discriminator="kind")]
    repository: RepositoryConfig
