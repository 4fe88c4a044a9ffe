"""The key ring: who may read a repository. Small signed objects; the newest counts, old ones stay.

What is backed up is encrypted to two key pairs of the repository's own: *data* (packs) and *records* (manifests and
indexes). The ring holds their private halves, encrypted to the keys of people and hosts. So a key that is added opens
everything there is, without anything being encrypted again, and one X25519 stanza does for a pack whatever kinds of
keys there are.
"""

from __future__ import annotations

import base64
import itertools
import re
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from propolis.clock import utc_now, utc_text
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access.conditional import require_creates_once
from propolis.repository.crypto import age
from propolis.repository.crypto.identities import Identity, Recipient
from propolis.repository.crypto.recipients import (
    AnyKey,
    AnyRecipient,
    Passphrase,
    SshIdentity,
    parse_recipient,
    unwrap,
    wrap,
)
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.format.config import DamagedConfig, RepositoryInfo
from propolis.repository.format.damage import Finding, reason
from propolis.repository.format.names import CONFIG, FORMAT, SMALL_LIMIT, check_name, hash_name
from propolis.repository.storage.base import MissingObjectError, ObjectExistsError, Storage
from propolis.structs import read_in_threads

KeyKind = Literal["age", "ssh", "passphrase"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
"""What a key may be called."""
_KEYS = re.compile(r"keys/(\d{6})-([0-9a-f]{64})")
_SPARE = "spare"


class KeyHolder(msgspec.Struct, frozen=True):
    """A person's or a host's key, as the ring knows it: its public key."""

    name: str
    kind: KeyKind
    recipient: str
    """`age1…`, `ssh-ed25519 …` or `ssh-rsa …`."""
    added: str
    locked: str = ""
    """Of a passphrase: the identity of `recipient`, encrypted by it (age with scrypt), base64."""

    def __str__(self) -> str:
        return f"{self.name} (a passphrase)" if self.kind == "passphrase" else f"{self.name} ({self.recipient})"

    @classmethod
    def of(cls, name: str, recipient: AnyRecipient) -> KeyHolder:
        """The holder of a public key; raises `RepositoryError` for a name that can't be used."""
        if not NAME.fullmatch(name):
            raise RepositoryError(
                f"A key can't be called {name[:80]!r}", next="Use letters, digits and . _ @ -, at most 63"
            )
        kind: KeyKind = "age" if isinstance(recipient, Recipient) else "ssh"
        return cls(name, kind, str(recipient), utc_text(utc_now()))

    @classmethod
    def of_passphrase(cls, name: str, passphrase: Passphrase) -> KeyHolder:
        """A holder whose identity is made here, and kept in the ring locked by the passphrase."""
        identity = Identity.generate()
        locked = base64.b64encode(passphrase.lock(identity)).decode()
        return msgspec.structs.replace(cls.of(name, identity.recipient), kind="passphrase", locked=locked)


class KeyPair(msgspec.Struct, frozen=True):
    """A key pair of the repository's own."""

    recipient: str
    """To which new objects are encrypted."""
    identities: str
    """Its private half, and those of the pairs before it, newest first: an age file, base64."""


@read_in_threads
class KeyRing(msgspec.Struct, frozen=True):
    """The object `keys/<sequence>-<hash>`; the one with the highest sequence counts."""

    format: int
    repository: str
    config: str
    """Hash of the object `config`."""
    sequence: int
    created: str
    recovery: list[KeyHolder]
    """Their keys open everything."""
    host: list[KeyHolder]
    """Their keys open manifests and indexes."""
    packs_readable_by_host: bool
    data: KeyPair
    """Opens packs."""
    records: KeyPair
    """Opens manifests and indexes."""
    secret: str
    """The repository's 32-byte key, encrypted to `records`, base64."""
    mac: str

    def pack_recipients(self) -> list[Recipient]:
        """To whom packs are encrypted."""
        return [Recipient(self.data.recipient)]

    def recipients(self) -> list[Recipient]:
        """To whom manifests, indexes and the key are encrypted."""
        return [Recipient(self.records.recipient)]

    def recovery_text(self) -> str:
        """The recovery keys, for messages."""
        return " or ".join(map(str, self.recovery))


@dataclass(frozen=True)
class Unlocked:
    """What a key ring's locks hide, as far as the keys given open them."""

    key: RepositoryKey
    records: list[Identity]
    """Open manifests and indexes, newest first."""
    data: list[Identity]
    """Open packs, newest first; none when only a host's key was given."""
    opened_by: frozenset[str]
    """Recipients (as in the ring) whose keys were given."""


def host_holder(recipient: Recipient, others: Sequence[KeyHolder]) -> KeyHolder:
    """This host's key, called by the host's name, or a name like it that no other key has."""
    base = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-")[:56] or "host"
    taken = {holder.name for holder in others}
    names = (base if number == 1 else f"{base}-{number}" for number in itertools.count(1))
    return KeyHolder.of(next(name for name in names if name not in taken), recipient)


def create(
    storage: Storage,
    recovery: Sequence[KeyHolder | AnyRecipient],
    host: Sequence[Recipient],
    *,
    packs_readable_by_host: bool,
    segment_bytes: int,
) -> None:
    """Write `config` and the first key ring of a new repository. Recovery keys without a name get one."""
    holders = [
        key if isinstance(key, KeyHolder) else KeyHolder.of(f"recovery-{number}" if number > 1 else "recovery", key)
        for number, key in enumerate(recovery, 1)
    ]
    hosts: list[KeyHolder] = []
    for recipient in host:
        hosts.append(host_holder(recipient, holders + hosts))
    if not recovery:
        raise RepositoryError("A repository needs a recovery key", next="Create a recovery key first")
    storage.prepare()
    try:
        storage.get(CONFIG, SMALL_LIMIT)  # unlike a question for its size, this tells why it can't be had
    except MissingObjectError:
        pass
    else:
        raise RepositoryError(f"There is already a repository at {storage.place}", left="It was not changed")
    if next(iter(storage.list("manifests")), None) or next(iter(storage.list("keys")), None):
        raise RepositoryError(
            f"{storage.place} holds parts of a repository without its config object", left="It was not changed"
        )
    require_creates_once(storage)
    now = utc_text(utc_now())
    info = RepositoryInfo(FORMAT, secrets.token_hex(16), now, segment_bytes, segment_bytes // 2)
    config = msgspec.json.encode(info)
    empty = KeyPair("", "")
    ring = KeyRing(
        FORMAT,
        info.id,
        hash_name(config),
        1,
        now,
        holders,
        hosts,
        packs_readable_by_host,
        empty,
        empty,
        "",
        "",
    )
    pairs = [Identity.generate()], [Identity.generate()]
    store_key_ring(storage, seal_ring(ring, RepositoryKey(secrets.token_bytes(32)), *pairs))
    try:
        storage.put(CONFIG, config, create=True)
    except ObjectExistsError:
        raise RepositoryError(
            f"Another program has created a repository at {storage.place} in the meantime", next="Use that one"
        ) from None


def seal_ring(ring: KeyRing, key: RepositoryKey, data: Sequence[Identity], records: Sequence[Identity]) -> KeyRing:
    """The ring with its locks and its proof filled in; the first of each pair's identities is the one that counts."""
    names = [holder.name for holder in ring.recovery + ring.host]
    if len(set(names)) != len(names):
        raise RepositoryError("Two keys have the same name", left="Nothing was changed")
    recovery = [parse_recipient(holder.recipient) for holder in ring.recovery]
    everybody = recovery + [parse_recipient(holder.recipient) for holder in ring.host]
    sealed = msgspec.structs.replace(
        ring,
        data=_pair(data, everybody if ring.packs_readable_by_host else recovery),
        records=_pair(records, everybody),
        secret=base64.b64encode(age.seal_bytes(key.raw, [records[0].recipient])).decode(),
        mac="",
    )
    return msgspec.structs.replace(sealed, mac=_ring_mac(sealed, key))


def store_key_ring(storage: Storage, ring: KeyRing) -> None:
    """Store a sealed key ring; from now on it counts. A spare keeps it from being lost to one damaged object."""
    data = msgspec.json.encode(ring)
    name = f"{ring.sequence:06d}-{hash_name(data)}"
    storage.put(f"{_SPARE}/{name}", data, create=True)
    storage.put(f"keys/{name}", data, create=True)


def ring_names(storage: Storage, damaged: list[Finding] | None = None) -> list[str]:
    """Names of all key rings that are there, or whose spare is; the last one counts.

    Raises `RepositoryError` when a folder can't be listed, or adds that to `damaged`.
    """
    names, spares = (_listed(storage, folder, damaged) for folder in ("keys", _SPARE))
    found = [
        name for name in names | {"keys" + name.removeprefix(_SPARE) for name in spares} if _KEYS.fullmatch(name)
    ]
    return sorted(found, key=lambda name: (name[:11], name in names, name))


@dataclass(frozen=True)
class FoundRing:
    """The key ring that counts, what the keys given open, and what is wrong with other rings or copies of it."""

    ring: KeyRing
    unlocked: Unlocked | None
    damaged: tuple[Finding, ...]


def find_key_ring(storage: Storage, info: RepositoryInfo, config: str, keys: Sequence[AnyKey] = ()) -> FoundRing:
    """The newest key ring that is this repository's; `config` is the hash that the object `config` has.

    A damaged or foreign object is passed over: the spare counts, or else an older ring. One that is whole and isn't
    what a holder of the repository's key wrote is no reason for an older ring: then `IntegrityError` is raised.
    """
    damaged: list[Finding] = []
    failures: list[IntegrityError | RepositoryError] = []
    names = ring_names(storage, damaged)
    for _, group in itertools.groupby(reversed(names), key=lambda name: name[:11]):
        refused: list[IntegrityError | RepositoryError] = []
        for name in group:
            ring = _whole_ring(storage, name, info, config, damaged, failures)
            if ring is None:
                continue
            try:
                return FoundRing(ring, open_ring(ring, keys, storage.place) if keys else None, tuple(damaged))
            except (IntegrityError, RepositoryError) as error:
                refused.append(error)
                damaged.append(Finding(error.what, name))
        if refused:
            raise refused[0]
    if failures:
        raise failures[0]
    raise MissingObjectError(f"The repository at {storage.place} has no key ring: keys/ is empty")


def _listed(storage: Storage, folder: str, damaged: list[Finding] | None) -> set[str]:
    try:
        return {stored.name for stored in storage.list(folder)}
    except RepositoryError as error:
        if damaged is None:
            raise
        damaged.append(Finding(reason(storage, error), folder))
        return set()


def _whole_ring(
    storage: Storage,
    name: str,
    info: RepositoryInfo,
    config: str,
    damaged: list[Finding],
    failures: list[IntegrityError | RepositoryError],
) -> KeyRing | None:
    """The key ring of this name, or its spare, if either is whole and this repository's."""
    for object in (name, name.replace("keys", _SPARE, 1)):
        try:
            data = storage.get(object, SMALL_LIMIT)
            check_name(object, data)
            return _parse(data, name, info, config, storage.place)
        except (IntegrityError, RepositoryError) as error:
            damaged.append(Finding(reason(storage, error), object))
            failures.append(error)
    return None


def _parse(data: memoryview, name: str, info: RepositoryInfo, config: str, place: str) -> KeyRing:
    try:
        ring = msgspec.json.decode(data, type=KeyRing)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{name} is damaged: {error}") from None
    if ring.repository != info.id or f"keys/{ring.sequence:06d}-" != name[:12]:
        raise IntegrityError(f"{name} belongs to another repository")
    if config != ring.config:
        raise DamagedConfig(f"The object config of the repository at {place} is damaged")
    return ring


def open_ring(ring: KeyRing, keys: Sequence[AnyKey], place: str) -> Unlocked:
    """What the keys open; raises `RepositoryError` naming the keys that would open it."""
    try:
        plain = _plain_keys(ring, keys)
        records = unwrap(base64.b64decode(ring.records.identities), plain, "The key ring")
        if not records:
            raise _wrong_key(ring, keys, place)
        raw = age.open_bytes(base64.b64decode(ring.secret), records, "the key ring", 1 << 12)
        key = RepositoryKey(raw)
        # Nothing of the ring is believed before its proof has been checked.
        if len(raw) != 32 or ring.mac != _ring_mac(ring, key):
            raise IntegrityError(f"The key ring of {place} was not written by a holder of the repository's key")
        data = unwrap(base64.b64decode(ring.data.identities), plain, "The key ring") or []
    except (ValueError, age.WrongKeyError):
        raise IntegrityError(f"The key ring of {place} is damaged") from None
    given = frozenset(str(found.recipient) for found in plain)
    known = {holder.recipient for holder in ring.recovery + ring.host}
    return Unlocked(key, records, data, given & known)


def _plain_keys(ring: KeyRing, keys: Sequence[AnyKey]) -> list[Identity | SshIdentity]:
    """The keys given, a passphrase turned into the identities that it locks."""
    found: list[Identity | SshIdentity] = []
    for key in keys:
        if isinstance(key, Passphrase):
            locked = [base64.b64decode(holder.locked) for holder in ring.recovery if holder.locked]
            found += [identity for identity in map(key.unlock, locked) if identity is not None]
        else:
            found.append(key)
    return found


def _wrong_key(ring: KeyRing, keys: Sequence[AnyKey], place: str) -> RepositoryError:
    given = ", ".join("a passphrase" if isinstance(key, Passphrase) else str(key.recipient) for key in keys)
    hosts = " or ".join(map(str, ring.host))
    return RepositoryError(
        f"The given key ({given or 'none'}) doesn't open the repository at {place}",
        next=f"Give the recovery key {ring.recovery_text()} with --identity"
        + (f", or use the host key {hosts}" if hosts else ""),
    )


def _pair(identities: Sequence[Identity], readers: Sequence[AnyRecipient]) -> KeyPair:
    return KeyPair(str(identities[0].recipient), base64.b64encode(wrap(identities, readers)).decode())


def _ring_mac(ring: KeyRing, key: RepositoryKey) -> str:
    return key.mac(b"keys\n", msgspec.json.encode(msgspec.structs.replace(ring, mac="")))
