"""How errors cross the connection: each kind as itself again, in words that are safe to print."""

from __future__ import annotations

from propolis.errors import ConfigError, IntegrityError, PreflightError, PropolisError, RepositoryError
from propolis.repository.storage.base import (
    MissingObjectError,
    NoFolderError,
    NoRoomError,
    ObjectExistsError,
)
from propolis.repository.storage.remote.messages import TEXT, Failed


class RefusedError(RepositoryError):
    """The server does not allow it."""


KINDS: dict[str, type[PropolisError]] = {
    "missing": MissingObjectError,
    "exists": ObjectExistsError,
    "full": NoRoomError,
    "nowhere": NoFolderError,
    "refused": RefusedError,
    "integrity": IntegrityError,
    "repository": RepositoryError,
    "configuration": ConfigError,
    "version": PreflightError,
}
"""The most special ones come first."""


def told(error: PropolisError, id: int | None) -> Failed:
    """The message for an error."""
    kind = next((name for name, kind in KINDS.items() if isinstance(error, kind)), "repository")
    return Failed(id=id, kind=kind, what=error.what[:TEXT], left=error.left[:TEXT], next=error.next[:TEXT])


def raised(failed: Failed) -> PropolisError:
    """The error for a message; it may be hostile."""
    kind = KINDS.get(failed.kind, RepositoryError)
    return kind(printable(failed.what), left=printable(failed.left), next=printable(failed.next))


def printable(text: str) -> str:
    """A text from elsewhere, in one line and without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:TEXT]).strip()
