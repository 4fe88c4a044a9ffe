"""Changing who may read a repository: a new key ring, under an exclusive lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from propolis.clock import utc_now, utc_text
from propolis.errors import BusyError, IntegrityError, RepositoryError
from propolis.repository.access import keyring
from propolis.repository.access.keyring import KeyHolder, KeyKind, KeyRing
from propolis.repository.crypto.identities import Identity
from propolis.repository.repository import Repository

Role = Literal["recovery", "host"]
Pair = Literal["data", "records"]
_MOST = 1000
"""So many pairs of the repository's own, one more with every removal, that the ring stays a small object."""


@dataclass(frozen=True)
class KeyInfo:
    """A key that opens a repository."""

    name: str
    role: Role
    """recovery: opens everything; host: opens manifests and indexes."""
    kind: KeyKind
    recipient: str
    added: str


@dataclass(frozen=True)
class KeyChange:
    """What a change of keys did, or would do."""

    what: Literal["add", "remove"]
    key: KeyInfo
    keys: tuple[KeyInfo, ...]
    """All keys afterwards."""
    ring: int
    """Sequence of the new key ring."""
    new_pairs: tuple[Pair, ...]
    """Key pairs of the repository that were made anew, so that the removed key doesn't open what is stored next."""
    done: bool
    """False: only planned."""


def list_keys(repository: Repository) -> list[KeyInfo]:
    """The keys that open a repository; reading them needs none."""
    return _infos(repository.ring)


def add_key(repository: Repository, holder: KeyHolder, role: Role = "recovery", *, plan: bool = False) -> KeyChange:
    """Let another key open the repository, all that is in it included.

    The repository must have been opened with a recovery key. Raises `RepositoryError` when it wasn't or the name or
    key is known already, `BusyError` when the repository is in use.
    """

    def change(ring: KeyRing) -> tuple[KeyRing, KeyHolder, bool, bool]:
        for known in ring.recovery + ring.host:
            if known.name == holder.name or known.recipient == holder.recipient:
                raise RepositoryError(
                    f"The repository already has the key {known}",
                    left="Nothing was changed",
                    next="See `propolis repository key list`",
                )
        if role == "recovery":
            return msgspec.structs.replace(ring, recovery=[*ring.recovery, holder]), holder, False, False
        return msgspec.structs.replace(ring, host=[*ring.host, holder]), holder, False, False

    return _change(repository, "add", change, plan=plan)


def remove_key(repository: Repository, which: str, *, plan: bool = False) -> KeyChange:
    """Encrypt to one key less from now on: `which` is its name or its recipient.

    What was stored until now stays readable with it. The repository must have been opened with a recovery key that
    stays. Raises `RepositoryError`, or `BusyError` when the repository is in use.
    """

    def change(ring: KeyRing) -> tuple[KeyRing, KeyHolder, bool, bool]:
        found = [holder for holder in ring.recovery + ring.host if which in (holder.name, holder.recipient)]
        if not found:
            raise RepositoryError(
                f"The repository has no key {which[:80]!r}", next="See `propolis repository key list` for their names"
            )
        smaller = msgspec.structs.replace(
            ring,
            recovery=[holder for holder in ring.recovery if holder is not found[0]],
            host=[holder for holder in ring.host if holder is not found[0]],
        )
        if not smaller.recovery:
            raise RepositoryError(
                f"{found[0]} is the only recovery key", left="Nothing was changed", next="Add another one first"
            )
        return smaller, found[0], found[0] in ring.recovery or ring.packs_readable_by_host, True

    return _change(repository, "remove", change, plan=plan)


def _change(
    repository: Repository,
    what: Literal["add", "remove"],
    change: Callable[[KeyRing], tuple[KeyRing, KeyHolder, bool, bool]],
    *,
    plan: bool,
) -> KeyChange:
    repository.require_pack_key()
    unlocked, ring = repository.unlocked, repository.ring
    assert unlocked is not None
    changed, holder, new_data, new_records = change(ring)
    remaining = {known.recipient for known in changed.recovery}
    if not unlocked.opened_by & remaining:
        raise RepositoryError(
            "The recovery key given is the one to be removed",
            left="Nothing was changed",
            next=f"Give another one: {changed.recovery_text()}",
        )
    if len(unlocked.records) >= _MOST:
        raise RepositoryError(
            f"The repository has had {_MOST} key pairs", left="Nothing was changed", next="Create a new repository"
        )
    pairs: list[Pair] = ["data"] if new_data else []
    pairs += ["records"] if new_records else []
    data = [Identity.generate()] * new_data + unlocked.data
    records = [Identity.generate()] * new_records + unlocked.records
    changed = msgspec.structs.replace(changed, sequence=ring.sequence + 1, created=utc_text(utc_now()))
    sealed = keyring.seal_ring(changed, unlocked.key, data, records)
    reopened = keyring.open_ring(sealed, repository.keys, repository.storage.place)
    if _secrets(reopened.data) != _secrets(data) or _secrets(reopened.records) != _secrets(records):
        raise IntegrityError("The new key ring would not open as it should", left="Nothing was changed")
    if not plan:
        with repository.lease("exclusive"):
            names = keyring.ring_names(repository.storage)
            if int(names[-1][5:11]) != ring.sequence:
                raise BusyError(
                    "Somebody else changed the keys in the meantime", left="Nothing was changed", next="Try again"
                )
            keyring.store_key_ring(repository.storage, sealed)
    return KeyChange(
        what,
        next(info for info in _infos(changed) + _infos(ring) if info.name == holder.name),
        tuple(_infos(changed)),
        changed.sequence,
        tuple(pairs),
        not plan,
    )


def _secrets(identities: list[Identity]) -> list[str]:
    return [identity.secret() for identity in identities]


def _infos(ring: KeyRing) -> list[KeyInfo]:
    roles: list[tuple[Role, list[KeyHolder]]] = [("recovery", ring.recovery), ("host", ring.host)]
    return [
        KeyInfo(holder.name, role, holder.kind, holder.recipient, holder.added)
        for role, holders in roles
        for holder in holders
    ]
