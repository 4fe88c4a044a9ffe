"""Lengths of time as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_500)


def parse_duration(text: str) -> timedelta:
    """The length of time that a number and a unit name, e.g. 30d or 12h. Raises ValueError saying what is wrong."""
    match = re.fullmatch(r"([0-9]{1,7})([mhdw])", text)
    found = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta() < found <= _LONGEST:
        raise ValueError(
            "must be a number and a unit, e.g. 30d (m: minutes, h: hours, d: days, w: weeks), "
            "more than 0 and at most 100 years"
        )
    return found
