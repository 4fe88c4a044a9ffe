"""What the steps of a restore work with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from propolis.command.context import Context
from propolis.config.schema import Config
from propolis.repository import Header, Manifest, Repository, Stats
from propolis.run import Observer


@dataclass(frozen=True)
class RestoreRequest:
    """What is to be restored, and where.

    `source` names the repository; `target` is the stack that receives the data, the same as `source` unless the
    restore goes elsewhere. `stores` empty: all that fit. `identity` is the file with the recovery key. `at`: from the
    repository as it was then.
    """

    source: Config
    target: Config
    backup: str
    identity: Path | None = None
    stores: tuple[str, ...] = ()
    at: datetime | None = None


class RestoreContext(Context):
    """The target stack, and the backup that goes into it."""

    def __init__(self, request: RestoreRequest | None, config: Config, observer: Observer, run_id: str) -> None:
        super().__init__(config, observer, run_id)
        self.request = request
        self.repository: Repository | None = None
        self.manifest: Manifest | None = None
        self.restored_bytes = 0
        self.restored_files = 0

    @property
    def header(self) -> Header:
        """The manifest's header."""
        assert self.manifest is not None
        return self.manifest.header

    def told(self, stats: Stats) -> None:
        """Pass the repository's counters on to whoever watches."""
        self.observer.progress(stats.bytes, sum(tree.bytes for tree in self.header.trees), "bytes")
