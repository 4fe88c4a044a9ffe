"""What the steps of a backup give to those after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from propolis.backup.objects import FrozenListing
from propolis.clone.base import CloneReport, Method
from propolis.repository import Repository, Writer


@dataclass(frozen=True)
class Checked:
    """What is known of the stack before anything stops."""

    started: str
    """When the backup began: UTC, as manifests tell it."""
    services: Mapping[str, str]
    """What each service that runs is, and its version."""
    facts: Mapping[str, Any]
    """What else the manifest tells of them."""
    methods: Mapping[str, Method]
    """How each folder is cloned, by its tree's name."""


@dataclass(frozen=True)
class Opened:
    """The repository, and the backup that is being written to it."""

    repository: Repository
    writer: Writer


@dataclass(frozen=True)
class Cloned:
    """The clones, which are the restore point."""

    point_in_time: str
    reports: Mapping[str, CloneReport]
    """By the tree's name."""

    def as_facts(self) -> dict[str, Any]:
        """How each was cloned, as journal and manifest tell it."""
        return {
            name: {
                "method": report.method,
                "files": report.files,
                "bytes_shared": report.bytes_shared,
                "bytes_copied": report.bytes_copied,
                "seconds": round(report.seconds, 3),
            }
            for name, report in self.reports.items()
        }


@dataclass(frozen=True)
class Listed:
    """A bucket's objects as they were while TheHive was down."""

    tree: str
    objects: FrozenListing
