"""The one schema of `propolis.yaml`: validation, sample file, reference and JSON Schema come from here.

The stack's services are here; sections about backups are in `places`, and what sections are made of in `fields`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from propolis.config.fields import AbsolutePath, HttpUrl, Model, SecretRef, Text, TlsConfig
from propolis.config.hosts import AgentConfig, HostConfig, HostName
from propolis.config.places import RepositoryConfig, RereadConfig, RestoreConfig, RetentionConfig, TimeoutsConfig
from propolis.errors import ConfigError


class PlatformConfig(Model):
    """How services are controlled."""

    kind: Literal["process"] = Field(
        default="process", description="process: plain programs that Propolis starts itself"
    )
    services: AbsolutePath = Field(
        description="Folder with one <service>.yaml per program: command, user, environment, pid file"
    )


class TheHiveConfig(Model):
    """The TheHive service."""

    url: HttpUrl = Field(description="Base URL, e.g. http://127.0.0.1:9000")
    config: AbsolutePath = Field(description="Its configuration folder, which holds application.conf")
    api_key: SecretRef | None = Field(
        default=None,
        description="Where to find an API key of any user (read-only is enough), so that a login proves that "
        "TheHive works",
    )
    username: Text | None = Field(default=None, description="Instead of an API key: a user to log in as")
    password: SecretRef | None = Field(default=None, description="Where to find that user's password")

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: one is set, the other isn't")
        if self.api_key is not None and self.username is not None:
            raise ValueError("api_key and username exclude each other: set one of them")
        return self


class CassandraConfig(Model):
    """Cassandra on this host."""

    kind: Literal["cassandra"] = Field(
        default="cassandra",
        description="cassandra: a server; berkeleyje: Berkeley DB in one of TheHive's own folders",
    )
    host: Text = Field(description="Address on which Cassandra answers CQL")
    port: int = Field(default=9042, ge=1, le=65535, description="Port on which Cassandra answers CQL")
    username: Text | None = Field(default=None, description="Role to log in with, if Cassandra asks for one")
    password: SecretRef | None = Field(default=None, description="Where to find that role's password")
    tls: TlsConfig | None = Field(default=None, description="TLS settings, if Cassandra requires TLS")
    keyspace: Text = Field(default="thehive", description="The keyspace that TheHive's JanusGraph uses")
    cluster_name: Text = Field(
        description="cluster_name of cassandra.yaml; a restore onto another cluster is refused"
    )
    config: AbsolutePath = Field(description="Its configuration folder, which holds cassandra.yaml")
    data: tuple[AbsolutePath, ...] = Field(min_length=1, description="data_file_directories of cassandra.yaml")
    commitlog: AbsolutePath = Field(description="commitlog_directory")
    hints: AbsolutePath = Field(description="hints_directory")
    saved_caches: AbsolutePath = Field(
        description="saved_caches_directory of cassandra.yaml; never backed up, emptied by a restore"
    )
    cdc_raw: AbsolutePath | None = Field(
        default=None, description="cdc_raw_directory of cassandra.yaml, if change data capture is on"
    )
    keep_snapshots: bool = Field(
        default=False,
        description="Back up the snapshots and incremental backups in Cassandra's data folders as well",
    )
    nodes: int = Field(default=1, ge=1, description="How many nodes its cluster has, on this host and on others")

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: one is set, the other isn't")
        return self


class BerkeleyConfig(Model):
    """Berkeley DB, which TheHive itself keeps in a folder."""

    kind: Literal["berkeleyje"] = Field(
        default="berkeleyje",
        description="cassandra: a server; berkeleyje: Berkeley DB in one of TheHive's own folders",
    )
    folder: AbsolutePath = Field(description="db.janusgraph.storage.directory of application.conf")


class IndexServerConfig(Model):
    """A server of Elasticsearch or OpenSearch on this host."""

    url: HttpUrl = Field(description="Base URL, e.g. http://127.0.0.1:9200")
    username: Text | None = Field(default=None, description="User to log in with, if the index asks for one")
    password: SecretRef | None = Field(default=None, description="Where to find that user's password")
    ca: AbsolutePath | None = Field(
        default=None, description="PEM or PKCS12 file of the authority that signed its certificate (https)"
    )
    ca_password: SecretRef | None = Field(default=None, description="Where to find the password of a PKCS12 ca")
    verify_host: bool = Field(
        default=True, description="Refuse a certificate (https) that doesn't name the address in url"
    )
    config: AbsolutePath = Field(
        description="Its configuration folder, which holds elasticsearch.yml or opensearch.yml"
    )
    data: AbsolutePath = Field(description="path.data")
    nodes: int = Field(default=1, ge=1, description="How many nodes its cluster has, on this host and on others")

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: one is set, the other isn't")
        if self.ca is None and self.ca_password is not None:
            raise ValueError("ca_password needs a ca")
        return self

    @property
    def tls(self) -> TlsConfig:
        """How to speak TLS to it, where `url` asks for that."""
        return TlsConfig(ca=self.ca, ca_password=self.ca_password, verify_host=self.verify_host)


class ElasticsearchConfig(IndexServerConfig):
    """Elasticsearch or OpenSearch on this host."""

    kind: Literal["elasticsearch"] = Field(
        default="elasticsearch",
        description="elasticsearch: an Elasticsearch or OpenSearch server; lucene: an index in one of TheHive's own "
        "folders",
    )
    prefix: Text = Field(default="thehive", description="index.search.index-name: TheHive's indices begin with it")
    audit: Text | None = Field(
        default=None, description="audit.elasticsearch.index-name, where TheHive keeps its audit log in the index"
    )


class LuceneConfig(Model):
    """Lucene, which TheHive itself keeps in a folder."""

    kind: Literal["lucene"] = Field(
        default="lucene",
        description="elasticsearch: an Elasticsearch or OpenSearch server; lucene: an index in one of TheHive's own "
        "folders",
    )
    folder: AbsolutePath = Field(description="db.janusgraph.index.search.directory of application.conf")


def _kind(default: str) -> Discriminator:
    """Tell sections apart by their `kind`, which may be left out: then it is `default`."""

    def of(section: Any) -> str:
        found = section.get("kind", default) if isinstance(section, dict) else getattr(section, "kind", default)
        return str(found)

    return Discriminator(of)


DatabaseConfig = CassandraConfig | BerkeleyConfig
IndexConfig = ElasticsearchConfig | LuceneConfig


class FolderFiles(Model):
    """Attachments in a folder."""

    kind: Literal["folder"] = Field(default="folder", description="folder: a folder of this host; s3: a bucket")
    folder: AbsolutePath = Field(description="storage.localfs.location")


class S3Files(Model):
    """Attachments in a MinIO or S3 bucket."""

    kind: Literal["s3"] = Field(default="s3", description="folder: a folder of this host; s3: a bucket")
    endpoint: HttpUrl | None = Field(default=None, description="S3 endpoint other than AWS")
    region: Text = Field(default="us-east-1", description="Region; MinIO accepts any")
    bucket: Text = Field(description="storage.s3.bucket")
    prefix: str = Field(default="", description="storage.s3.folder; keys are <prefix>/attachment/<id>")
    access_key: SecretRef | None = Field(
        default=None,
        description="Where to find the access key; without keys, the credentials that AWS gives this host are used "
        "(IAM role)",
    )
    secret_key: SecretRef | None = Field(default=None, description="Where to find the secret key")
    ca: AbsolutePath | None = Field(
        default=None, description="PEM file of the authority that signed its certificate (https)"
    )

    @model_validator(mode="after")
    def _keys_are_whole(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together: one is set, the other isn't")
        return self


class CortexIndexConfig(IndexServerConfig):
    """An index of Cortex's own."""


class CortexConfig(Model):
    """Cortex on this host. Leave the section out where the stack has none, or none that is to be backed up."""

    url: HttpUrl = Field(description="Base URL, e.g. http://127.0.0.1:9001")
    config: AbsolutePath = Field(description="Its configuration folder, which holds application.conf")
    jobs: AbsolutePath | None = Field(
        default=None, description="job.directory, if only Cortex uses that folder (its default is /tmp)"
    )
    api_key: SecretRef | None = Field(
        default=None, description="Where to find an API key of any user, so that a login proves that Cortex works"
    )
    prefix: Text = Field(default="cortex", description="search.index: Cortex's indices begin with it")
    index: CortexIndexConfig | None = Field(
        default=None,
        description="Cortex's own index; without this section, Cortex's indices are in TheHive's index server",
    )


class MinioConfig(Model):
    """MinIO on this host, whose bucket holds TheHive's attachments: its data folders are backed up, cold."""

    url: HttpUrl = Field(description="Base URL, e.g. http://127.0.0.1:9002")
    data: tuple[AbsolutePath, ...] = Field(
        min_length=1, description="Its data folders, one for each drive; all of them are on this host"
    )
    config: AbsolutePath | None = Field(
        default=None, description="Its configuration folder: environment file, certificates, files of its KMS or KES"
    )
    environment: AbsolutePath | None = Field(
        default=None,
        description="The file with its environment, e.g. /etc/default/minio; it says whether MinIO encrypts, and "
        "with which key",
    )
    access_key: SecretRef | None = Field(
        default=None,
        description="Where to find an administrator's access key, to ask for the version [default: that of files]",
    )
    secret_key: SecretRef | None = Field(default=None, description="Where to find the secret key")
    ca: AbsolutePath | None = Field(
        default=None, description="PEM file of the authority that signed its certificate (https)"
    )

    @model_validator(mode="after")
    def _keys_are_whole(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together: one is set, the other isn't")
        return self


_WHOLE = ("thehive", "database", "index", "files")
"""Sections that only a stack on several hosts may lack, on some of them."""


def _whole_or_host(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": list(_WHOLE)}, {"required": ["host"]}]


class Config(Model):
    """One stack and its repository."""

    model_config = ConfigDict(json_schema_extra=_whole_or_host)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="The stack's name (letters, digits, . _ -); shown in lists, kept in every manifest",
    )
    host: HostName | None = Field(
        default=None,
        description="This host's name (letters, digits, . _ -) in a stack of several hosts. Then leave out thehive, "
        "database, index or files, whichever is on another host",
    )
    state: AbsolutePath = Field(
        default=Path("/var/lib/propolis"), description="Folder for this stack's journals, lock and cache (0700)"
    )
    platform: PlatformConfig
    thehive: TheHiveConfig | None = Field(default=None, validate_default=True)
    database: (
        Annotated[
            Annotated[CassandraConfig, Tag("cassandra")] | Annotated[BerkeleyConfig, Tag("berkeleyje")],
            Field(discriminator=_kind("cassandra")),
        ]
        | None
    ) = Field(default=None, validate_default=True)
    index: (
        Annotated[
            Annotated[ElasticsearchConfig, Tag("elasticsearch")] | Annotated[LuceneConfig, Tag("lucene")],
            Field(discriminator=_kind("elasticsearch")),
        ]
        | None
    ) = Field(default=None, validate_default=True)
    files: Annotated[FolderFiles | S3Files, Field(discriminator="kind")] | None = Field(
        default=None, validate_default=True
    )
    minio: MinioConfig | None = Field(
        default=None,
        description="MinIO on this host that holds the bucket of `files`; leave it out if the bucket is elsewhere",
    )
    cortex: CortexConfig | None = Field(default=None, description="Cortex on this host, if the stack has one")
    repository: RepositoryConfig
    retention: RetentionConfig = Field(default_factory=RetentionConfig)
    reread: RereadConfig = Field(default_factory=RereadConfig)
    restore: RestoreConfig = Field(default_factory=RestoreConfig)
    timeouts: TimeoutsConfig = Field(default_factory=TimeoutsConfig)

    hosts: dict[HostName, HostConfig] = Field(
        default_factory=dict,
        description="The stack's other hosts, on the one that coordinates them: how each is reached. See "
        "`propolis host add`",
    )
    agent: AgentConfig = Field(default_factory=AgentConfig)
    silence: float = Field(
        default=30.0,
        ge=1,
        description="Seconds without a word between the coordinator and a host after which each acts by itself: the "
        "host undoes its part of the run, the coordinator takes the host for lost",
    )

    @field_validator(*_WHOLE, mode="after")
    @classmethod
    def _whole_without_host(cls, section: Model | None, info: ValidationInfo) -> Model | None:
        """Only a stack that is spread over several lacks any of these on one of them."""
        if section is None and info.data.get("host", "") is None:
            raise PydanticKnownError("missing")
        return section

    @model_validator(mode="after")
    def _services_have_their_stores(self) -> Self:
        if self.minio is not None and not isinstance(self.files, S3Files):
            raise ValueError("minio needs files.kind: s3, the bucket that it holds; leave the section out otherwise")
        if self.cortex is not None and self.cortex.index is None and self.elasticsearch is None and self.host is None:
            raise ValueError("cortex needs an index: set cortex.index, as TheHive keeps its own in a folder")
        return self

    @model_validator(mode="after")
    def _stores_have_their_services(self) -> Self:
        if self.thehive is None:
            for name in ("database", "index", "files"):
                section = getattr(self, name)
                if isinstance(section, BerkeleyConfig | LuceneConfig | FolderFiles):
                    raise ValueError(f"{name} is a folder of TheHive's, so the section thehive must be here, too")
            if isinstance(self.files, S3Files) and self.minio is None:
                raise ValueError("files is read by TheHive's host: leave the section out, or add thehive or minio")
        return self

    @model_validator(mode="after")
    def _hosts_are_others(self) -> Self:
        if self.hosts and self.host is None:
            raise ValueError("hosts needs host: what this host itself is called")
        if self.host in self.hosts:
            raise ValueError(f"hosts names {self.host}, which is this host; it lists only others")
        return self

    @property
    def cassandra(self) -> CassandraConfig | None:
        """The section `database` where that is a server on this host; None where it is not, or on another host."""
        return self.database if isinstance(self.database, CassandraConfig) else None

    @property
    def elasticsearch(self) -> ElasticsearchConfig | None:
        """The section `index` where that is a server of either make; None where it is not, or on another host."""
        return self.index if isinstance(self.index, ElasticsearchConfig) else None

    @property
    def lacking(self) -> tuple[str, ...]:
        """Sections of the whole that are on other hosts."""
        return tuple(name for name in _WHOLE if getattr(self, name) is None)

    def require_thehive(self) -> TheHiveConfig:
        """The section `thehive`. Raises ConfigError where it is on another host."""
        if self.thehive is None:
            raise ConfigError("TheHive is on another host: propolis.yaml has no section thehive")
        return self.thehive

    def require_cassandra(self) -> CassandraConfig:
        """The section `database`. Raises ConfigError where that is no server."""
        if self.cassandra is None:
            raise ConfigError("This host has no database server of its own")
        return self.cassandra

    def require_elasticsearch(self) -> ElasticsearchConfig:
        """The section `index`. Raises ConfigError where that is no server."""
        if self.elasticsearch is None:
            raise ConfigError("This host has no index server of its own")
        return self.elasticsearch
