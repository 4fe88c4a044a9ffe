"""A bucket of the stack (MinIO, AWS and others) as something to back up and to restore into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import obstore
from obstore.store import S3Store

from propolis.errors import RepositoryError
from propolis.s3.client import open_bucket
from propolis.s3.endpoint import Endpoint, Patience
from propolis.s3.errors import S3_ERRORS, explain, is_missing
from propolis.s3.objects import ObjectMeta

_CONTENT_TYPE = "Content-Type"
_SINGLE_PUT = 16 << 20
_PART = 8 << 20
_PARTS_AT_ONCE = 2
_BRIEF = Patience(retries=5, first_wait=0.2, longest_wait=5, total=60, silence=60)
"""A stack's bucket is listed while TheHive is down: rather no backup now than a long wait."""
_MOST_PARTS = 10_000
"""Of one object, by the S3 API."""


class S3Bucket:
    """The part of a bucket below a prefix; keys are relative to it. An ObjectSource and an ObjectSink."""

    def __init__(self, store: S3Store, place: str) -> None:
        self._store = store
        self.place = place
        """Bucket, prefix and endpoint, for people."""

    @classmethod
    def open(cls, bucket: str, prefix: str, server: Endpoint) -> S3Bucket:
        """A client for it; nothing is contacted yet. Raises `ConfigError` when its authorities can't be used."""
        store = open_bucket(bucket, prefix, server, patience=_BRIEF)
        return cls(store, f"s3://{bucket}/{prefix} at {server}")

    def list(self) -> Iterator[ObjectMeta]:
        """All objects, sorted by key, without content type and metadata; raises `RepositoryError`."""
        try:
            for batch in obstore.list(self._store):
                for item in batch:
                    yield _meta(item)
        except S3_ERRORS as error:
            raise explain(error, f"The bucket {self.place}", "be listed") from None

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        """An object's full description and its bytes; `FileNotFoundError` when it is gone, else `RepositoryError`."""
        try:
            result = obstore.get(self._store, key)
            attributes = dict(result.attributes)
            content_type = attributes.pop(_CONTENT_TYPE, "")
            meta = _meta(result.meta, content_type, attributes)
            return meta, self._chunks(key, result)
        except S3_ERRORS as error:
            if is_missing(error):
                raise FileNotFoundError(key) from None
            raise explain(error, f"{key} in the bucket {self.place}", "be read") from None

    def put(self, meta: ObjectMeta, chunks: Iterable[Any]) -> None:
        """Store an object; raises `RepositoryError` when the bucket refuses or then has another size."""
        attributes: dict[str, str] = dict(meta.metadata)
        if meta.content_type:
            attributes[_CONTENT_TYPE] = meta.content_type
        try:
            if meta.size <= _SINGLE_PUT:
                parts = [memoryview(chunk) for chunk in chunks]
                data = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
                obstore.put(self._store, meta.key, data, attributes=attributes, use_multipart=False)
            else:
                self._put_large(meta, chunks, attributes)
            size = obstore.head(self._store, meta.key)["size"] if meta.size > _SINGLE_PUT else meta.size
        except S3_ERRORS as error:
            raise explain(error, f"{meta.key} in the bucket {self.place}", "be written") from None
        if size != meta.size:
            raise RepositoryError(f"{meta.key} in the bucket {self.place} has {size} bytes instead of {meta.size}")

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the bucket, attributes included; raises `RepositoryError`."""
        try:
            obstore.copy(self._store, source, target)
        except S3_ERRORS as error:
            raise explain(error, f"{source} in the bucket {self.place}", "be copied") from None

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        try:
            obstore.delete(self._store, key)
        except S3_ERRORS as error:
            if is_missing(error):
                return
            raise explain(error, f"{key} in the bucket {self.place}", "be removed") from None

    def _put_large(self, meta: ObjectMeta, chunks: Iterable[Any], attributes: dict[str, str]) -> None:
        writer = obstore.open_writer(
            self._store,
            meta.key,
            attributes=attributes,
            buffer_size=max(_PART, -(-meta.size // _MOST_PARTS)),
            max_concurrency=_PARTS_AT_ONCE,
        )
        # Without the closing, nothing appears under the key: so it must not happen after an error.
        for chunk in chunks:
            for piece in _split(memoryview(chunk)):
                # The chunks share one buffer, and parts are sent while the next is made: so each is copied.
                writer.write(bytes(piece))
        writer.close()

    def _chunks(self, key: str, result: Any) -> Iterator[Any]:
        try:
            yield from result.stream(min_chunk_size=1 << 20)
        except S3_ERRORS as error:
            raise explain(error, f"{key} in the bucket {self.place}", "be read") from None


def _split(chunk: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(chunk), 1 << 20):
        yield chunk[start : start + (1 << 20)]


def _meta(item: Any, content_type: str = "", metadata: dict[str, str] | None = None) -> ObjectMeta:
    modified = int(item["last_modified"].timestamp()) * 1_000_000_000
    return ObjectMeta(item["path"], item["size"], item["e_tag"] or "", modified, content_type, metadata or {})
