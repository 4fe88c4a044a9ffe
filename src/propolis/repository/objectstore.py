"""A repository in an S3 bucket (MinIO, AWS and others), through obstore."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import S3Store

from propolis.errors import ConfigError, IntegrityError, PropolisError, RepositoryError
from propolis.repository.storage import Location, MissingObjectError, ObjectExistsError, Stored

S3_ERRORS = (exceptions.BaseError, OSError, ValueError)
"""What obstore raises when a request fails."""


def open_bucket(
    bucket: str, prefix: str, *, endpoint: str | None, region: str, access_key: str | None, secret_key: str | None
) -> S3Store:
    """An S3 client for the part of a bucket below `prefix`, with time-outs and retries; nothing is contacted yet."""
    options: dict[str, Any] = {"connect_timeout": "10s", "timeout": "120s"}
    if endpoint and endpoint.startswith("http://"):
        options["allow_http"] = True
    settings: dict[str, Any] = {"region": region}
    if endpoint:
        settings["endpoint"] = endpoint
        settings["virtual_hosted_style_request"] = False
    if access_key is not None and secret_key is not None:
        settings |= {"access_key_id": access_key, "secret_access_key": secret_key}
    return S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        client_options=options,  # type: ignore[arg-type]
        retry_config={
            "max_retries": 6,
            "retry_timeout": datetime.timedelta(seconds=90),
            "backoff": {
                "init_backoff": datetime.timedelta(milliseconds=200),
                "max_backoff": datetime.timedelta(seconds=10),
                "base": 2,
            },
        },
        **settings,
    )


class S3Storage:
    """Objects below a prefix of a bucket; every put is a single request and durable when it returns."""

    def __init__(self, location: Location) -> None:
        bucket, _, prefix = location.url.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError(f"repository.url: {location.url!r} names no bucket")
        self._place = f"{location.url} at {location.endpoint or 'AWS'}"
        self._store = open_bucket(
            bucket,
            prefix,
            endpoint=location.endpoint,
            region=location.region,
            access_key=location.access_key,
            secret_key=location.secret_key,
        )

    @property
    def place(self) -> str:
        """URL and endpoint."""
        return self._place

    def prepare(self) -> None:
        """Nothing: the bucket has to exist."""

    def put(self, name: str, data: bytes | bytearray | memoryview, *, create: bool = False) -> None:
        """See `Storage.put`."""
        try:
            obstore.put(
                self._store, name, memoryview(data), mode="create" if create else "overwrite", use_multipart=False
            )
        except exceptions.AlreadyExistsError:
            raise ObjectExistsError(f"{name} exists already in the repository {self.place}") from None
        except S3_ERRORS as error:
            raise explain(error, f"The repository {self.place}", "be written") from None

    def get(self, name: str, limit: int, into: memoryview | None = None) -> memoryview:
        """See `Storage.get`; `into` is not used."""
        try:
            result = obstore.get(self._store, name)
            if result.meta["size"] > limit:
                raise IntegrityError(f"{name} has {result.meta['size']} bytes where at most {limit} belong")
            return memoryview(result.bytes())
        except S3_ERRORS as error:
            raise self._unread(error, name) from None

    def head(self, name: str, count: int) -> memoryview:
        """See `Storage.head`."""
        try:
            return memoryview(obstore.get(self._store, name, options={"range": (0, count)}).bytes())
        except S3_ERRORS as error:
            raise self._unread(error, name) from None

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        try:
            return obstore.head(self._store, name)["size"]
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise self._unread(error, name) from None
            return None
        except S3_ERRORS as error:
            raise self._unread(error, name) from None

    def list(self, prefix: str) -> Iterator[Stored]:
        """See `Storage.list`."""
        try:
            for batch in obstore.list(self._store, prefix):
                for item in batch:
                    modified = int(item["last_modified"].timestamp() * 1_000_000) * 1000
                    yield Stored(item["path"], item["size"], modified)
        except S3_ERRORS as error:
            raise explain(error, f"The repository {self.place}", "be listed") from None

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        try:
            obstore.delete(self._store, name)
        except (exceptions.NotFoundError, FileNotFoundError):
            return
        except S3_ERRORS as error:
            raise explain(error, f"The repository {self.place}", "be changed") from None

    def flush(self) -> None:
        """Nothing: a bucket's objects are durable when stored."""

    def _unread(self, error: Exception, name: str) -> PropolisError:
        missing = isinstance(error, exceptions.NotFoundError | FileNotFoundError)
        if missing and "NoSuchBucket" not in str(error):
            return MissingObjectError(
                f"{name} is missing from the repository {self.place}",
                next="Run propolis repository check, and use another backup or a copy of the repository",
            )
        return explain(error, f"{name} in the repository {self.place}", "be read")


def explain(error: Exception, what: str, failed: str) -> RepositoryError:
    """What an S3 client's error means, in a sentence with what to do."""
    text = str(error)
    reasons = (
        (("NoSuchBucket", "InvalidBucketName"), "there is no such bucket", "Create the bucket, or correct the name"),
        (
            ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidTokenId", "Unauthenticated", "401 Unauthorized"),
            "the access key or secret key is wrong",
            "Correct access_key and secret_key",
        ),
        (("RequestTimeTooSkewed",), "this host's clock is wrong", "Set the clock, for instance with chrony"),
        (
            ("AccessDenied", "PermissionDenied", "403"),
            "the access key may not do this",
            "Give it the rights it needs",
        ),
        (("XMinioStorageFull", "507"), "the storage is full", "Free some space there, then start again"),
        (("InvalidRegion", "AuthorizationHeaderMalformed"), "the region is wrong", "Correct region"),
        (("certificate", "tls"), "its TLS certificate can't be trusted", "Check the certificate and the endpoint"),
        (
            ("tcp connect", "error trying to connect", "error sending request", "Connection refused", "dns error"),
            "it doesn't answer",
            "Check the endpoint and the network",
        ),
    )
    for marks, reason, advice in reasons:
        if any(mark in text for mark in marks):
            return RepositoryError(f"{what} can't {failed}: {reason}", next=advice)
    told = re.search(r"<Message>(.*?)</Message>", text, re.S)
    return RepositoryError(f"{what} can't {failed}: {' '.join((told[1] if told else text).split())[:300]}")
