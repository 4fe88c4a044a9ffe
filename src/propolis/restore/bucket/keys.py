"""Whether the bucket of attachments opens: its keys don't come with the data, so they are tried."""

from __future__ import annotations

from propolis.command.stores import open_bucket
from propolis.config import secrets
from propolis.config.discovery.files import bucket_keys
from propolis.config.schema import S3Files
from propolis.errors import ConfigError, PreflightError, RepositoryError
from propolis.restore.logins import Settings

UNTOUCHED = "Nothing was changed"


def try_keys(bucket: S3Files, settings: Settings | None) -> None:
    """List the bucket with the keys that propolis.yaml refers to, and with those of the restored settings.

    `settings` reads the backup's application.conf where that is restored, too. Raises PreflightError.
    """
    here = secrets.pair(bucket.access_key, bucket.secret_key)
    _try(
        bucket,
        here,
        "The keys that files.access_key and files.secret_key of propolis.yaml refer to do not open the bucket",
        "Correct them, in application.conf too if they are TheHive's",
    )
    if settings is None:
        return
    try:
        backed_up = bucket_keys(settings())
    except ConfigError:
        return  # what can't be determined of the backup's settings is said where logins are compared
    if backed_up is not None and backed_up != here:
        _try(
            bucket,
            backed_up,
            "TheHive's settings are restored with the data, and their keys (storage.s3) do not open the bucket",
            "Leave the settings as they are with --only database,index,files",
        )


def _try(bucket: S3Files, keys: secrets.Login | None, refused: str, advice: str) -> None:
    try:
        next(open_bucket(bucket, keys).list(), None)
    except RepositoryError as error:
        raise PreflightError(f"{refused}: {error.what}", left=UNTOUCHED, next=advice) from None
