"""What a rule comes back with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Result = Literal["ok", "warn", "fail"]

Command = Literal["doctor", "backup", "restore"]
"""Commands that ask rules."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    `fail` means that a backup or restore would fail or be incomplete, `warn` that somebody should know.
    `hint` says what to do; it is empty where nothing is to be done.
    """

    name: str
    result: Result
    message: str
    hint: str = ""
