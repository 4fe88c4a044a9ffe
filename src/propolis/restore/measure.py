"""How much lies in folders and buckets, and what of it changed since a moment: by names, sizes and times alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from propolis.stack.files.bucket import S3Bucket

LOOKED_AT = 100_000
"""Files, folders or objects of one store that are looked at; of a larger one, what is told is the least."""


@dataclass
class Measured:
    """What lies there. `whole`: all of it was looked at; else every number is the least that it can be."""

    files: int = 0
    bytes: int = 0
    changed: int = 0
    """Files that changed after the moment asked for."""
    newest_ns: int = 0
    """When the newest file changed, since 1970."""
    whole: bool = True
    unread: str = ""
    """What could not be looked at, and why; empty if all could."""
    _looked_at: int = field(default=0, repr=False)

    def add_folder(self, folder: Path, since_ns: int | None, leave_out: Collection[str] = ()) -> None:
        """Look at a folder, without following links; names directly in it that are in `leave_out` don't count."""
        waiting = [str(folder)]
        skipped = frozenset(leave_out)
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        if entry.name in skipped:
                            continue
                        if self._is_enough():
                            return
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode):
                            waiting.append(entry.path)
                        else:
                            self._add(status.st_size, status.st_mtime_ns, since_ns)
            except (FileNotFoundError, NotADirectoryError):
                pass  # lost, or removed meanwhile by the service that it belongs to
            except OSError as error:
                self.whole = False
                self.unread = self.unread or f"{error.filename or folder}: {error.strerror}"
            skipped = frozenset()

    def add_bucket(self, bucket: S3Bucket, since_ns: int | None, leave_out: Collection[str] = ()) -> None:
        """Look at a bucket's list, without keys that begin as in `leave_out`. Raises RepositoryError."""
        skipped = tuple(leave_out)
        for meta in bucket.list():
            if skipped and meta.key.startswith(skipped):
                continue
            if self._is_enough():
                return
            self._add(meta.size, meta.last_modified_ns, since_ns)

    def _add(self, size: int, changed_ns: int, since_ns: int | None) -> None:
        self.files += 1
        self.bytes += size
        self.newest_ns = max(self.newest_ns, changed_ns)
        self.changed += since_ns is not None and changed_ns > since_ns

    def _is_enough(self) -> bool:
        if self._looked_at == LOOKED_AT:
            self.whole = False
            return True
        self._looked_at += 1
        return False
