"""Every error Propolis raises on purpose: one class per exit code.

An error says what is wrong, what was left as it was, and what to do next. Only `propolis.cli` turns one into
an exit; nothing here is ever shown with a traceback.
"""

from __future__ import annotations

from typing import ClassVar


class PropolisError(Exception):
    """Something went wrong that the user can act on.

    Parameters: `what` happened and where, what was `left` untouched, and what to do `next`.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, left: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.left = left
        self.next = next

    def __str__(self) -> str:
        sentences = (text for text in (self.what, self.left, self.next) if text)
        return " ".join(text if text.endswith((".", "?", "!")) else f"{text}." for text in sentences)


class UsageError(PropolisError):
    """The command line is wrong."""

    exit_code = 2


class IncompleteError(PropolisError):
    """The work was done in part: something that belongs to it is missing."""

    exit_code = 3


class ConfigError(PropolisError):
    """The configuration is wrong; the message names file, line and key."""

    exit_code = 10


class BusyError(PropolisError):
    """Another run holds this stack, or another client the repository."""

    exit_code = 11


class PreflightError(PropolisError):
    """A check made before anything is touched failed."""

    exit_code = 12


class RepositoryError(PropolisError):
    """The repository can't be reached, read or written."""

    exit_code = 13


class InDoubt(RepositoryError):
    """Whether a run is kept or undone can't be learned now. Services run, and what was replaced is still there."""


class IntegrityError(PropolisError):
    """Stored or restored bytes are not the bytes that were backed up, or could not be checked."""

    exit_code = 14


class ServicesDownError(PropolisError):
    """A service that was running before is not running now: a person is needed."""

    exit_code = 16


class Interrupted(PropolisError):
    """The user or the system asked to stop."""

    exit_code = 130
