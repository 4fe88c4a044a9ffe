"""How services are started and stopped: one small module a platform."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from propolis.config.schema import PlatformConfig
from propolis.platform.base import STOP_SECONDS, Platform, ServiceState
from propolis.platform.process.platform import ProcessPlatform

__all__ = ["Platform", "ProcessPlatform", "ServiceState", "open_platform"]

_KINDS: Mapping[str, Callable[[PlatformConfig, float], Platform]] = {
    "process": lambda config, stop_seconds: ProcessPlatform(config.services, stop_seconds)
}


def open_platform(config: PlatformConfig, stop_seconds: float = STOP_SECONDS) -> Platform:
    """The platform that the configuration names; `stop_seconds`: how long a service may take to stop.

    Raises ConfigError if its own files are wrong, PreflightError if it can't be used here.
    """
    return _KINDS[config.kind](config, stop_seconds)
