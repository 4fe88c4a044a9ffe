"""Names of files as text that a terminal can't be harmed with, and back again."""

from __future__ import annotations

import os
import re

_ESCAPED = re.compile(rb"\\(?:(\\)|x([0-9a-f]{2}))")


def shown(path: bytes) -> str:
    """The path for people: letters of all kinds as they are, other bytes as `\\xNN`, a backslash twice.

    So neither a name that isn't text nor one that holds control characters or marks of direction does any harm.
    """
    text = path.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:  # nearly always
        return text
    return "".join(map(_shown, text))


def given(text: str) -> bytes:
    """The path that a person means by what `shown` gave; one that holds no backslash means itself."""
    return _ESCAPED.sub(lambda match: match[1] or bytes.fromhex(match[2].decode()), os.fsencode(text))


def _shown(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    if letter.isprintable():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
