"""Propolis backs up, restores and proves TheHive deployments."""

__version__ = "0.1.0"
