"""One object that can't be used doesn't keep anybody from the others; what is wrong with it is kept to be said."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.crypto.age import WrongKeyError
from propolis.repository.format.names import CONFIG, SMALL_LIMIT
from propolis.repository.storage.base import MissingObjectError, Storage


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what of the backup it hits."""

    what: str
    object: str
    """Name of the repository object."""
    entries: tuple[str, ...] = ()
    """Some of the files it hits, as `tree/path`."""
    entries_hit: int = 0
    """How many files it hits; 0 when it could not be determined."""


FOREIGN = "It is encrypted to none of the repository's keys"


def reason(storage: Storage, error: RepositoryError | IntegrityError) -> str:
    """What is wrong with one object, reading which raised this. Raises when it isn't just this object."""
    if isinstance(error, WrongKeyError):
        return FOREIGN
    if not isinstance(error, IntegrityError):
        storage.get(CONFIG, SMALL_LIMIT)  # fails as well when the storage does
    return error.what


@contextlib.contextmanager
def sparing(storage: Storage, name: str, damaged: list[Finding]) -> Iterator[None]:
    """For a `with` block that reads the object `name`: if that can't be used, it is added to `damaged`.

    One that was removed since it was listed is no damage. Raises `RepositoryError` when the storage fails as a whole.
    """
    try:
        yield
    except MissingObjectError as error:
        if any(stored.name == name for stored in storage.list(name.partition("/")[0])):
            damaged.append(Finding(error.what, name))
    except (RepositoryError, IntegrityError) as error:
        damaged.append(Finding(reason(storage, error), name))
