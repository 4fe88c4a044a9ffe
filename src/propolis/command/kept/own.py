"""The stack's own objects: what is in its bucket but for what restores keep there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from propolis.command.kept.record import aside_prefixes, records
from propolis.command.stores import bucket_of
from propolis.config.schema import Config
from propolis.repository import ObjectSource
from propolis.s3.objects import ObjectMeta


class WithoutKept:
    """An ObjectSource that leaves out what restores keep of the former data, copied aside within the bucket."""

    def __init__(self, source: ObjectSource, prefixes: tuple[str, ...]) -> None:
        self._source = source
        self._prefixes = prefixes

    def list(self) -> Iterator[ObjectMeta]:
        """Return the stack's own objects."""
        return (meta for meta in self._source.list() if not meta.key.startswith(self._prefixes))

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        """Read one; FileNotFoundError if it has gone since."""
        return self._source.open_object(key)


def own_objects(config: Config, tree: str) -> ObjectSource:
    """Open the bucket of a tree, without what restores keep in it."""
    kept = aside_prefixes(records(config.state).kept, tree)
    return WithoutKept(bucket_of(config, tree), kept) if kept else bucket_of(config, tree)
