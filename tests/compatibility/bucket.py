"""A bucket in memory, to back up from and to restore into."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from propolis.s3.objects import ObjectMeta


class Bucket:
    """Objects by key, with what a bucket tells about each."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[ObjectMeta, bytes]] = {}

    def list(self) -> Iterator[ObjectMeta]:
        """As a bucket lists them: content types and metadata are told of single objects only."""
        for key in sorted(self.objects):
            meta = self.objects[key][0]
            yield ObjectMeta(key, meta.size, meta.etag, meta.last_modified_ns)

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        meta, content = self.objects[key]
        return meta, iter([content])

    def put(self, meta: ObjectMeta, chunks: Iterable[Any]) -> None:
        self.objects[meta.key] = meta, b"".join(map(bytes, chunks))

    def fill(self) -> None:
        """Attachments as TheHive stores them, one of each kind of metadata."""
        for number in range(5):
            self.add(f"attachment/{number:064x}", b"attachment %d" % number * 500)
        self.add("attachment/empty", b"")
        self.add("attachment/öäü and more.txt", b"named by people", {"Cache-Control": "no-store", "case": "4711"})

    def change(self) -> None:
        """What TheHive's users did since."""
        self.add("attachment/later", b"later" * 100)
        del self.objects[f"attachment/{1:064x}"]

    def add(self, key: str, content: bytes, metadata: dict[str, str] | None = None) -> None:
        etag = hashlib.md5(content).hexdigest()
        meta = ObjectMeta(key, len(content), etag, 1_700_000_000_000_000_000, "text/plain", metadata or {})
        self.objects[key] = meta, content

    def picture(self) -> dict[str, Any]:
        """All of it, in a form that JSON keeps."""
        return {
            key: {**msgspec.to_builtins(meta), "sha256": hashlib.sha256(content).hexdigest()}
            for key, (meta, content) in sorted(self.objects.items())
        }
