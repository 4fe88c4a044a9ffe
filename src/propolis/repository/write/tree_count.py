"""A tree while a backup takes it in."""

from __future__ import annotations

import array

from propolis.repository.format.entries import TreeHeader, TreeKind
from propolis.repository.format.rules import bad_object
from propolis.repository.write.folder_entries import FolderEntries
from propolis.s3.objects import ObjectMeta


class TreeCount:
    """Counts what its header will state."""

    def __init__(self, name: str, mark: bytes, store: str, kind: TreeKind, original: str) -> None:
        """`mark` is the name, escaped."""
        self.name, self.mark, self.store, self.kind, self.original = name, mark, store, kind, original
        self.entries = self.files = self.bytes = self.holes = 0
        self._last = ""
        self._keys: set[int] = set()
        self._earlier = array.array("q")
        """Hashes of keys that came in order."""

    def header(self, folder: FolderEntries | None) -> TreeHeader:
        """What the manifest states of the tree; `folder` made its entries if it is one."""
        return TreeHeader(
            self.name,
            self.store,
            self.kind,
            self.original,
            self.entries,
            self.files,
            self.bytes,
            self.holes,
            folder.tally.all() if folder is not None else [],
            folder.users if folder is not None else {},
            folder.groups if folder is not None else {},
        )

    def object_problem(self, meta: ObjectMeta) -> str | None:
        """Why the next object that a bucket lists can't be kept; None when it can."""
        return bad_object(meta) or ("it is listed twice" if self._is_double(meta.key) else None)

    def _is_double(self, key: str) -> bool:
        # Buckets are listed in order, nearly all: then a key is a double only of the one before.
        if not self._keys and (not self.entries or key > self._last):
            self._last = key
            self._earlier.append(hash(key))
            return False
        if not self._keys:
            self._keys.update(self._earlier)
        known = hash(key) in self._keys
        self._keys.add(hash(key))
        return known
