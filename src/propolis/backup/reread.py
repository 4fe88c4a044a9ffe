"""When a backup reads everything anew instead of believing sizes and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from propolis.config.durations import parse_duration
from propolis.config.places import RereadConfig


def is_due(rule: RereadConfig, last: str | None, now: datetime | None = None) -> bool:
    """Whether the rule wants everything read anew; `last` is when it last was (UTC, ISO 8601), as the parent tells.

    Due, too, when that isn't known or lies in the future: some clock was wrong.
    """
    if rule.every is None:
        return False
    try:
        moment = datetime.fromisoformat(last or "")
    except ValueError:
        return True
    if moment.tzinfo is None:
        return True
    age = (now or datetime.now(UTC)) - moment
    return not timedelta() <= age < parse_duration(rule.every)
