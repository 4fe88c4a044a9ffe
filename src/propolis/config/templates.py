"""Files that a deployment tool was to fill in, and didn't: `{{ x }}`, `{% if … %}`, `{bucket}`, `${x}`."""

from __future__ import annotations

import re

_IN_A_VALUE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\$?\{[A-Za-z_][\w.-]*\}")
_UNQUOTED = re.compile(r"^\s*(\{%.*?%\})|(?:^\s*-|[:=,\[(])\s*(\{\{.*?\}\}|\{%.*?%\})")
_COMMENT = re.compile(r"^\s*(#|//)")


def unfilled(value: str) -> str | None:
    """Give the first piece of a value that stands for another; None where it has none."""
    match = _IN_A_VALUE.search(value)
    return match[0] if match else None


def unfilled_line(text: str) -> tuple[int, str] | None:
    """Give the first line (from 1) of a file where such a piece stands as a value without quotes, and the piece.

    There it is read as something else, or not at all, so that the reader's own message would mislead.
    """
    for number, line in enumerate(text.splitlines(), 1):
        match = None if _COMMENT.match(line) else _UNQUOTED.search(line)
        if match:
            return number, match[1] or match[2]
    return None


def explain(piece: str) -> str:
    """Say what such a piece is."""
    return f"{piece} is a placeholder that was never filled in"
