"""Where a repository is and how to reach it: values."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from pathlib import Path

from propolis.config import secrets
from propolis.config.fields import SecretRef
from propolis.config.places import ObjectLockConfig, PlaceConfig
from propolis.s3.endpoint import Endpoint


@dataclass(frozen=True)
class Location:
    """Where a repository is and how to reach it."""

    url: str
    """An absolute folder, `s3://bucket/prefix` or `ssh://user@host:port/folder`."""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    ca: Path | None = None
    """PEM file of authorities to trust besides the system's."""
    object_lock: ObjectLockConfig | None = None
    """With it, every object is locked when it is stored."""
    command: tuple[str, ...] = ()
    """What reaches a folder of another host, instead of ssh."""
    at: datetime.datetime | None = None
    """Read it as it was then (with a time zone), and write nothing."""

    @classmethod
    def from_config(cls, config: PlaceConfig) -> Location:
        """The location that the configuration names. Raises ConfigError if its keys can't be had."""
        return cls(
            config.url,
            config.endpoint,
            config.region,
            _secret(config.access_key),
            _secret(config.secret_key),
            config.ca,
            config.object_lock,
            config.command,
        )

    def as_of(self, moment: datetime.datetime | None) -> Location:
        """The same place as it was then; None: as it is."""
        return replace(self, at=moment)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this host."""
        return "://" not in self.url

    @property
    def server(self) -> Endpoint:
        """The S3 server, and how to log in to it."""
        return Endpoint(self.endpoint, self.region, self.access_key, self.secret_key, self.ca)


def _secret(reference: SecretRef | None) -> str | None:
    return None if reference is None else secrets.resolve(reference)
