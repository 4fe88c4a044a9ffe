"""Verdicts: the one durable word on whether a restore that several hosts prepared is kept or undone.

`verdicts/<run>` is only ever created, so the first word holds, and everybody who asks gets the same one. It carries
a proof made with the repository's key: who can merely write to the storage decides nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import socket
from typing import Literal

import msgspec

from propolis.clock import utc_now, utc_text
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.catalog.chronicle import stamp_time
from propolis.repository.format.names import FORMAT, SMALL_LIMIT
from propolis.repository.repository import Repository
from propolis.repository.storage.base import MissingObjectError, ObjectExistsError
from propolis.repository.storage.kinds import KINDS, VERDICTS
from propolis.structs import read_in_threads

Verdict = Literal["keep", "undo"]
_KEPT = datetime.timedelta(days=400)
"""A host that was switched off for this long still learns how its restore was decided. A verdict that went earlier
could be given anew, and otherwise."""


@read_in_threads
class _Word(msgspec.Struct, frozen=True):
    format: int
    run: str
    verdict: Verdict
    at: str
    by: str
    """For people: process and host."""
    token: str
    """Random, so that no two writers create the same object."""
    mac: str = ""


def give(repository: Repository, run: str, wish: Verdict) -> Verdict:
    """Create the verdict on a run, unless there is one; the verdict that holds, which everybody has to obey.

    When this raises, nobody knows whether it was created: ask again. Raises `RepositoryError` when the repository
    can't be reached, `IntegrityError` when what is there was not written by a holder of the repository's key.
    """
    found = ask(repository, run)
    if found is not None:
        return found
    _require_young(repository, run)
    name = _name(run)
    by = f"process {os.getpid()} on {socket.gethostname()}"
    word = _Word(FORMAT, run, wish, utc_text(utc_now()), by, secrets.token_hex(16))
    word = msgspec.structs.replace(word, mac=_mac(repository, word))
    try:
        repository.storage.put(name, msgspec.json.encode(word), create=True)
    except ObjectExistsError:
        pass
    except RepositoryError:
        # The answer may have been lost, and not the request.
        with contextlib.suppress(RepositoryError):
            found = ask(repository, run)
        if found is not None:
            return found
        raise
    found = ask(repository, run)
    if found is None:
        raise RepositoryError(
            f"{name} is not in the repository {repository.storage.place}, although it was stored",
            next="Check the storage; the verdict is asked for again",
        )
    return found


def ask(repository: Repository, run: str) -> Verdict | None:
    """The verdict on a run; None when there is none yet. Raises as `give` does."""
    name = _name(run)
    try:
        stored = repository.storage.get(name, SMALL_LIMIT)
    except MissingObjectError:
        return None
    try:
        word = msgspec.json.decode(stored, type=_Word)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refused(f"{name} is damaged: it can't be understood ({error})") from None
    if word.format != FORMAT:
        raise _refused(f"{name} has format {word.format}, which this version of Propolis doesn't know")
    if word.run != run or word.mac != _mac(repository, word):
        raise _refused(f"{name} was not written by a holder of the repository's key, or is of another run")
    return word.verdict


def old_verdicts(repository: Repository, now_ns: int) -> list[str]:
    """Names of verdicts that nobody will ask for any more."""
    limit = now_ns - int(_KEPT.total_seconds() * 1e9)
    listed = repository.storage.list(VERDICTS)
    return sorted(
        stored.name
        for stored in listed
        if KINDS[VERDICTS].names.fullmatch(stored.name) and stored.modified_ns < limit
    )


def _require_young(repository: Repository, run: str) -> None:
    """Raise `RepositoryError` for a run so old that its verdict may have been removed."""
    began = stamp_time(run)
    if began is None or utc_now() - began > _KEPT / 2:
        raise RepositoryError(
            f"There is no verdict on the run {run} in {repository.storage.place}, and it is too old for a new one",
            left="Nothing was decided",
            next="Find out on the other hosts whether the restore was kept there",
        )


def _name(run: str) -> str:
    name = f"{VERDICTS}/{run}"
    if not KINDS[VERDICTS].names.fullmatch(name):
        raise RepositoryError(f"{run[:80]!r} is not the ID of a run")
    return name


def _mac(repository: Repository, word: _Word) -> str:
    return repository.key.mac(b"verdict\n", msgspec.json.encode(msgspec.structs.replace(word, mac="")))


def _refused(what: str) -> IntegrityError:
    return IntegrityError(
        what,
        left="It decides nothing: no host keeps or undoes its restore because of it",
        next="Find out who writes to the repository, delete the object with the maintenance credential, then run "
        "`propolis recover` on every host",
    )
