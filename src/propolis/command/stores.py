"""Opening what a stack's configuration refers to: its repository and its bucket."""

from __future__ import annotations

from pathlib import Path

from propolis.config import secrets
from propolis.config.schema import Config, S3Files
from propolis.repository import Identity, Location, Repository, S3Bucket, read_identities


def open_repository(config: Config, identity_file: Path | None = None) -> Repository:
    """Open the repository with the host's own key, and with the recovery key where one is given.

    Raises RepositoryError.
    """
    identities: list[Identity] = []
    if config.repository.host_key.exists():
        identities += read_identities(config.repository.host_key)
    if identity_file is not None:
        identities += read_identities(identity_file)
    return Repository.open(Location.from_config(config.repository), identities)


def open_bucket(bucket: S3Files) -> S3Bucket:
    """Open the bucket that holds the attachments."""
    return S3Bucket.open(
        bucket.bucket,
        bucket.prefix,
        endpoint=bucket.endpoint,
        region=bucket.region,
        access_key=secrets.resolve(bucket.access_key),
        secret_key=secrets.resolve(bucket.secret_key),
        ca=bucket.ca,
    )
