"""What the steps of a backup work with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propolis.clone.base import CloneReport, Method
from propolis.command.context import Context
from propolis.config.schema import Config
from propolis.repository import BackupId, BackupSummary, Facts, Limits, ObjectSource, Repository, Stats, Writer
from propolis.run import Observer

BACKGROUND = Limits(background=True)
"""Data is stored while TheHive serves, which comes first."""


class BackupContext(Context):
    """Filled by one step, used by the next."""

    def __init__(
        self,
        config: Config,
        observer: Observer,
        run_id: str,
        limits: Limits = BACKGROUND,
        *,
        reread: bool = False,
        force_unhealthy: bool = False,
    ) -> None:
        super().__init__(config, observer, run_id)
        self.limits = limits
        self.reread = reread
        """Everything is to be read, whatever sizes and times say; the configuration may want it, too."""
        self.force_unhealthy = force_unhealthy
        """Take the backup even if TheHive isn't healthy."""
        self.services: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self.started = ""
        self.repository: Repository | None = None
        self.parent: BackupId | None = None
        self.writer: Writer | None = None
        self.methods: dict[str, Method] = {}
        """How each tree is cloned, found out while services still run."""
        self.clones: dict[str, CloneReport] = {}
        self.buckets: dict[str, ObjectSource] = {}
        self.summary: BackupSummary | None = None

    def told(self, stats: Stats) -> None:
        """Pass the repository's counters on to whoever watches."""
        self.observer.progress(stats.bytes, None, "bytes")

    def restore_point(self, extra: Mapping[str, Any]) -> Facts:
        """Say what the manifest tells about this restore point."""
        return Facts(
            kind="cold",
            started=self.started,
            services=self.services,
            facts={**self.facts, **extra},
        )
