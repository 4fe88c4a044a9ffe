"""What can go wrong in the lab."""

from __future__ import annotations

from propolis.errors import PropolisError


class LabError(PropolisError):
    """The lab can't be brought up; the message names what is missing."""


class MissingError(LabError):
    """A program that the lab needs is not installed; the message names its package."""
