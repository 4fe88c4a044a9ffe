"""Opening what a stack's configuration refers to: its repository and its bucket."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from propolis.command.known import check_known
from propolis.config import secrets
from propolis.config.schema import Config, S3Files
from propolis.errors import ConfigError
from propolis.repository import Location, Repository, read_identities
from propolis.repository.crypto.identities import is_there
from propolis.repository.crypto.recipients import AnyKey, read_keys
from propolis.s3.endpoint import Endpoint
from propolis.stack.files.bucket import S3Bucket
from propolis.stack.stack import buckets


def open_repository(config: Config, identity_file: Path | None = None, at: datetime | None = None) -> Repository:
    """Open the repository with the host's own key, and with the recovery key where one is given.

    `at`: as it was then, for reading only.
    Raises RepositoryError, and IntegrityError when it isn't the repository that this host knows there.
    """
    repository = Repository.open(Location.from_config(config.repository).as_of(at), keys_of(config, identity_file))
    check_known(config, repository, past=at is not None)
    return repository


def keys_of(config: Config, identity_file: Path | None = None) -> list[AnyKey]:
    """The host's own key where there is one, and the recovery key where one is given.

    Raises RepositoryError when a key file can't be used.
    """
    identities: list[AnyKey] = []
    if is_there(config.repository.host_key):
        identities += read_identities(config.repository.host_key)
    if identity_file is not None:
        identities += read_keys(identity_file)
    return identities


def bucket_of(config: Config, tree: str) -> S3Bucket:
    """Open the bucket of a tree. Raises RepositoryError, and ConfigError where that tree is in no bucket."""
    bucket = next((found.bucket for found in buckets(config) if found.name == tree), None)
    if bucket is None:
        raise ConfigError(f"The configuration names no bucket for {tree}")
    return open_bucket(bucket)


def open_bucket(bucket: S3Files, keys: secrets.Login | None = None) -> S3Bucket:
    """Open the bucket that holds the attachments; `keys` are used instead of those that propolis.yaml refers to."""
    access, secret = keys or secrets.pair(bucket.access_key, bucket.secret_key) or (None, None)
    return S3Bucket.open(
        bucket.bucket,
        bucket.prefix,
        Endpoint(bucket.endpoint, bucket.region, access, secret, bucket.ca),
    )
