"""What every platform can do with a service."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

STOP_SECONDS = 300.0
"""Longest wait for one service to stop, where nothing else is said."""


class ServiceState(StrEnum):
    """What the platform knows of a service; whether it *answers* is a probe's matter (`propolis.stack`)."""

    RUNNING = "running"
    STOPPED = "stopped"


class Platform(Protocol):
    """Controls services by their role: `thehive`, `database`, `index` (and others, as `minio`)."""

    def services(self) -> tuple[str, ...]:
        """Names of the services this platform knows."""

    def state(self, service: str) -> ServiceState:
        """Ask the platform; raise PreflightError if it can't tell."""

    def age(self, service: str) -> float | None:
        """Seconds since its process was started; None if it doesn't run, or the platform can't tell."""

    def start(self, service: str) -> None:
        """Launch and return at once, without waiting for an answer. A running service is left alone.

        One that was told to stop but hasn't ended yet is waited for, then launched anew.
        """

    def stop(self, service: str) -> None:
        """Ask it to end; return once every process of it is gone. Raise PreflightError on time-out."""
