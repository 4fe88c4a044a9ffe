"""Sections of `propolis.yaml` about backups: where they are kept, for how long, how they are made and restored."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from propolis.config.fields import AbsolutePath, Duration, HttpUrl, Model, SecretRef, Text

SSH_URL = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/.+)"
)
"""A folder of another host."""


def _repository_url(url: str) -> str:
    """Refuse what names neither a folder nor a bucket, nor a folder of another host."""
    if not url.startswith(("/", "s3://", "ssh://")):
        raise ValueError(
            "must be an absolute folder, e.g. /backup/thehive, or s3://bucket/prefix or ssh://host/folder"
        )
    if url.startswith("ssh://") and not SSH_URL.fullmatch(url):
        raise ValueError("write ssh://host/folder or ssh://user@host:port/folder")
    if url.startswith("s3://") and not url.removeprefix("s3://").partition("/")[0]:
        raise ValueError("has no bucket name; write s3://bucket or s3://bucket/prefix")
    return url


class ObjectLockConfig(Model):
    """How long a bucket holds what is stored, whoever wants it gone."""

    mode: Literal["governance", "compliance"] = Field(
        description="governance: users with a special permission can lift the lock; compliance: nobody can, not "
        "even the owner"
    )
    days: int = Field(
        ge=1,
        le=36_500,
        description="Lock everything that a backup needs for at least this many days after it was made",
    )


class PlaceConfig(Model):
    """A place for a repository, and how to reach it."""

    url: Annotated[str, AfterValidator(_repository_url)] = Field(
        description="A folder (/backup/thehive), s3://bucket/prefix, or a folder of another host: ssh://host/folder"
    )
    command: tuple[Text, ...] = Field(
        default=(),
        description="For ssh://: the command that reaches it, instead of ssh and as a list, e.g. to go through "
        "`kubectl exec`",
    )
    endpoint: HttpUrl | None = Field(
        default=None, description="S3 endpoint other than AWS, e.g. https://minio.example:9000"
    )
    region: Text = Field(default="us-east-1", description="Region of the bucket")
    access_key: SecretRef | None = Field(default=None, description="Where to find the access key")
    secret_key: SecretRef | None = Field(default=None, description="Where to find the secret key")
    ca: AbsolutePath | None = Field(
        default=None, description="PEM file of the authority that signed its certificate (https)"
    )

    object_lock: ObjectLockConfig | None = Field(
        default=None, description="Lock every object in the bucket: mode (governance or compliance) and days"
    )

    @model_validator(mode="after")
    def _keys_are_whole(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together: one is set, the other isn't")
        return self

    @model_validator(mode="after")
    def _locks_are_of_buckets(self) -> Self:
        if self.object_lock is not None and not self.url.startswith("s3://"):
            raise ValueError("object_lock needs a bucket (s3://…): a folder can't lock what is in it")
        return self

    @model_validator(mode="after")
    def _commands_reach_hosts(self) -> Self:
        if self.command and not self.url.startswith("ssh://"):
            raise ValueError("command needs a folder of another host (ssh://…)")
        return self


class RepositoryConfig(PlaceConfig):
    """Where backups are kept."""

    host_key: AbsolutePath = Field(description="The host's own age identity (0600): reads manifests, not data")
    copies: tuple[PlaceConfig, ...] = Field(
        default=(), description="Places to which `propolis repository copy` copies all backups"
    )


class KeepConfig(Model):
    """Rules by which backups are kept; one that any rule keeps stays. Without any rule, all stay."""

    last: int = Field(default=0, ge=0, description="Keep this many of the newest backups")
    hourly: int = Field(
        default=0, ge=0, description="Keep the newest backup of each hour, for this many hours that have one"
    )
    daily: int = Field(
        default=0, ge=0, description="Keep the newest backup of each day (UTC), for this many days that have one"
    )
    weekly: int = Field(
        default=0,
        ge=0,
        description="Keep the newest backup of each week (from Monday), for this many weeks that have one",
    )
    monthly: int = Field(
        default=0, ge=0, description="Keep the newest backup of each month, for this many months that have one"
    )
    yearly: int = Field(
        default=0, ge=0, description="Keep the newest backup of each year, for this many years that have one"
    )


class RetentionConfig(Model):
    """What `propolis repository prune` keeps of this stack's backups."""

    keep: KeepConfig = Field(
        default_factory=KeepConfig,
        description="Rules: a backup is kept if any rule keeps it; without rules, all backups are kept",
    )
    min_verified: int = Field(
        default=1, ge=0, description="Never remove this many of the newest backups that passed verification"
    )
    min_fill: int = Field(
        default=50, ge=0, le=100, description="Repack a pack if less than this share of it is needed, in percent"
    )
    grace_hours: float = Field(
        default=24.0,
        ge=0,
        description="Keep data that no backup needs for this many hours: after a killed backup, the next one uses it",
    )


class RereadConfig(Model):
    """When a backup reads every file again, even those whose size and times say that they didn't change."""

    every: Duration | None = Field(
        default=None,
        description="Read every file again if the last time was longer ago than this, e.g. 30d (m, h, d or w)",
    )


class RestoreConfig(Model):
    """What a restore does with the data that it replaces."""

    keep_old: int = Field(
        default=0,
        ge=0,
        le=3650,
        description="Keep what a restore replaced for this many days, for `propolis restore --undo`; 0: delete it",
    )
    identity: AbsolutePath | None = Field(
        default=None,
        description="File with the recovery key, where a coordinator has this host restore: no key comes from there",
    )


class TimeoutsConfig(Model):
    """How long to wait for a service, in seconds."""

    stop: float = Field(
        default=300.0,
        gt=0,
        description="Longest wait for a service to stop, in seconds, unless its service file names a `stop_timeout`",
    )
    start: float = Field(
        default=600.0, gt=0, description="Longest wait for one service to answer after its start, in seconds"
    )
    listen: float = Field(
        default=120.0,
        gt=0,
        description="Seconds within which a TheHive that was started before its database and index gives up on them "
        "and never listens; one that runs for longer without listening is restarted, once",
    )
