"""Arguments as they are given, before any command takes them: loaded by every start, so it needs little."""

from __future__ import annotations

import re
from collections.abc import Sequence

DEBUG = "PROPOLIS_DEBUG"
CONFIGURED = "configured"
LATEST = "latest"

BARE = {
    "--read-data": ("all", r"[^-].*"),
    "--keep-old": (CONFIGURED, r"[0-9]+"),
    "--undo": (LATEST, rf"{LATEST}|[0-9].*"),
}
"""Options that may stand without a value: what they mean then, and how a value looks that follows them."""


def complete(arguments: Sequence[str]) -> list[str]:
    """Give bare options their value: the library of the command line knows options with one, or flags."""
    following = [*arguments[1:], ""]
    return [
        f"{given}={BARE[given][0]}" if given in BARE and not re.fullmatch(BARE[given][1], after) else given
        for given, after in zip(arguments, following, strict=False)
    ]
