"""The time, as everything that is kept tells it."""

from __future__ import annotations

import datetime


def utc_now() -> datetime.datetime:
    """Now, in UTC, in whole seconds."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def utc_text(moment: datetime.datetime) -> str:
    """As `2026-11-23T22:45:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
