"""How a backup is to be taken."""

from __future__ import annotations

from dataclasses import dataclass

from propolis.repository import Limits

BACKGROUND = Limits(background=True)
"""Data is stored while TheHive serves, which comes first."""


@dataclass(frozen=True)
class BackupOptions:
    """How a backup is to be taken: what a caller may want otherwise."""

    limits: Limits = BACKGROUND
    """What it may take of the host."""
    parent: str | None = "latest"
    """The backup whose unchanged files needn't be read: an ID, `latest`, or None to read everything."""
    reread: bool = False
    """Everything is to be read, whatever sizes and times say; the configuration may want it, too."""
    force_unhealthy: bool = False
    """Take the backup even if TheHive isn't healthy; it need not be so after it either."""
