"""Rules that a stack has to keep: `doctor` shows them, `backup` and `restore` ask the same before they stop anything.

`Rule` is one of them, `Check` what it found, `Look` the stack as it is asked. `checks` asks all, `require` those that
concern a command.
"""

from __future__ import annotations

from propolis.checks.asking import ask, refuse, require, told
from propolis.checks.look import Look
from propolis.checks.rules import checks, rules_of
from propolis.stack.rules import Check, Command, Result, Rule
from propolis.stack.thehive.rules import NAME as THEHIVE

__all__ = [
    "THEHIVE",
    "Check",
    "Command",
    "Look",
    "Result",
    "Rule",
    "ask",
    "checks",
    "refuse",
    "require",
    "rules_of",
    "told",
]
