"""The bucket of a stack, as a backup reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from propolis.config.schema import S3Files
from propolis.repository import ObjectSource
from propolis.s3.listing import ObjectList
from propolis.s3.objects import ObjectMeta


class FrozenListing:
    """An ObjectSource whose list was taken once; objects are still read from the bucket."""

    def __init__(self, source: ObjectSource) -> None:
        self._source = source
        self._objects = ObjectList(source.list())

    def __len__(self) -> int:
        return len(self._objects)

    def list(self) -> Iterator[ObjectMeta]:
        """Return the objects as they were listed."""
        return iter(self._objects)

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        """Read one from the bucket; FileNotFoundError if it has gone since."""
        return self._source.open_object(key)


def bucket_name(bucket: S3Files) -> str:
    """Where a bucket's tree comes from, as a URL."""
    return f"s3://{bucket.bucket}/{bucket.prefix}".rstrip("/")
