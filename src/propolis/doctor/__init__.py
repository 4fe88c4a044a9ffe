"""Checks of a stack and its repository, made without changing anything of the stack.

`checks(config)` makes all of them; `Check` is one's outcome.
"""

from __future__ import annotations

from propolis.doctor.checks import checks
from propolis.doctor.model import Check, Result

__all__ = ["Check", "Result", "checks"]
