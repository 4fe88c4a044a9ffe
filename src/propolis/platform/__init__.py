"""How services are started and stopped: one small module a platform."""

from __future__ import annotations

from propolis.config.schema import PlatformConfig
from propolis.platform.base import Platform, ServiceState
from propolis.platform.process.platform import ProcessPlatform

__all__ = ["Platform", "ProcessPlatform", "ServiceState", "open"]


def open(config: PlatformConfig) -> Platform:
    """The platform that the configuration names.

    Raises ConfigError if its own files are wrong, PreflightError if it can't be used here.
    """
    return ProcessPlatform(config.services)
