"""Names, limits and the two small objects that describe a repository: `config` and the key ring."""

from __future__ import annotations

import base64
import datetime
import re
import secrets
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec
from blake3 import blake3

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository import age
from propolis.repository.keys import Identity, Recipient
from propolis.repository.storage import MissingObjectError, ObjectExistsError, Storage

FORMAT = 1
SEGMENT_BYTES = 16 << 20
"""Files are cut at multiples of this. It bounds the memory of a worker: one such piece plain, one stored.
Smaller pieces are gathered in packs until they fill half of it."""
MAX_SEGMENT_BYTES = 64 << 20
"""No repository may ask a reader for buffers larger than this."""

CONFIG = "config"
SMALL_LIMIT = 1 << 20
INDEX_LIMIT = 256 << 20
MANIFEST_LIMIT = 1 << 30

_HEX = re.compile(r"[0-9a-f]{64}")
_MANIFEST = re.compile(r"manifests/(\d{8}T\d{6}Z)-([0-9a-f]{64})")
_KEYS = re.compile(r"keys/(\d{6})-([0-9a-f]{64})")


class RepositoryInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """The object `config`."""

    format: int
    id: str
    created: str
    segment_bytes: int
    gather_bytes: int


class KeyRing(msgspec.Struct, frozen=True):
    """The object `keys/<sequence>-<hash>`; the one with the highest sequence counts."""

    format: int
    repository: str
    config: str
    """Hash of the object `config`."""
    sequence: int
    created: str
    recovery: list[str]
    """age recipients whose identities open everything."""
    host: list[str]
    """age recipients whose identities open manifests and indexes."""
    packs_readable_by_host: bool
    secret: str
    """The repository's 32-byte key, encrypted to all of them, base64."""
    mac: str

    def pack_recipients(self) -> list[Recipient]:
        """To whom packs are encrypted."""
        return [Recipient(text) for text in self.recovery + (self.host if self.packs_readable_by_host else [])]

    def recipients(self) -> list[Recipient]:
        """To whom manifests, indexes and the key are encrypted."""
        return [Recipient(text) for text in self.recovery + self.host]


class RepositoryKey:
    """The repository's secret: names segments and authenticates manifests, indexes and key rings."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._mac = blake3(raw, derive_key_context="propolis repository 1: authentication").digest()

    def segment_id(self, data: memoryview | bytes) -> bytes:
        """32 bytes that name these plain bytes."""
        return blake3(data, key=self.raw).digest()

    def mac(self, *parts: bytes) -> str:
        """Proof that the holder of the key wrote these bytes."""
        hasher = blake3(key=self._mac)
        for part in parts:
            hasher.update(part)
        return hasher.hexdigest()


def hash_name(data: bytes | bytearray | memoryview) -> str:
    """What an object of these stored bytes is called."""
    return blake3(data).hexdigest()


def pack_name(digest: str) -> str:
    """Where the pack of that hash lies."""
    return f"packs/{digest[:2]}/{digest}"


def parse_manifest_name(name: str) -> tuple[str, str] | None:
    """Time stamp and hash of a manifest's name; None when it is no manifest."""
    match = _MANIFEST.fullmatch(name)
    return (match[1], match[2]) if match else None


def is_hash(text: str) -> bool:
    """Whether it is 64 hexadecimal digits."""
    return _HEX.fullmatch(text) is not None


def utc_now() -> datetime.datetime:
    """Now, in UTC, in whole seconds."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def utc_text(moment: datetime.datetime) -> str:
    """As `2026-11-23T22:45:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_name(name: str, stored: memoryview) -> None:
    """Compare an object's bytes with the hash in its name; raises `IntegrityError`."""
    expected = PurePosixPath(name).name[-64:]
    if hash_name(stored) != expected:
        raise IntegrityError(
            f"{name} is damaged: its bytes don't match its name",
            next="Run propolis repository check, and use another backup or a copy of the repository",
        )


def create(
    storage: Storage,
    recovery: Sequence[Recipient],
    host: Sequence[Recipient],
    *,
    packs_readable_by_host: bool,
    segment_bytes: int,
) -> None:
    """Write `config` and the first key ring of a new repository."""
    if not recovery:
        raise RepositoryError("A repository needs a recovery recipient", next="Make a recovery key first")
    storage.prepare()
    try:
        storage.get(CONFIG, SMALL_LIMIT)  # unlike a question for its size, this tells why it can't be had
    except MissingObjectError:
        pass
    else:
        raise RepositoryError(f"There is a repository at {storage.place} already", left="It was not touched")
    if next(iter(storage.list("manifests")), None) or next(iter(storage.list("keys")), None):
        raise RepositoryError(
            f"{storage.place} holds parts of a repository without its config object", left="It was not touched"
        )
    now = utc_text(utc_now())
    info = RepositoryInfo(FORMAT, secrets.token_hex(16), now, segment_bytes, segment_bytes // 2)
    config = msgspec.json.encode(info)
    ring = KeyRing(
        FORMAT,
        info.id,
        hash_name(config),
        1,
        now,
        [str(recipient) for recipient in recovery],
        [str(recipient) for recipient in host],
        packs_readable_by_host,
        "",
        "",
    )
    add_key_ring(storage, ring, RepositoryKey(secrets.token_bytes(32)))
    try:
        storage.put(CONFIG, config, create=True)
    except ObjectExistsError:
        raise RepositoryError(
            f"Another program made a repository at {storage.place} meanwhile", next="Open that one"
        ) from None


def add_key_ring(storage: Storage, ring: KeyRing, key: RepositoryKey) -> None:
    """Store a key ring, its secret and proof filled in; from now on writers encrypt to its recipients."""
    secret = base64.b64encode(age.seal_bytes(key.raw, ring.recipients())).decode()
    ring = msgspec.structs.replace(ring, secret=secret)
    data = msgspec.json.encode(msgspec.structs.replace(ring, mac=_ring_mac(ring, key)))
    storage.put(f"keys/{ring.sequence:06d}-{hash_name(data)}", data, create=True)


def read_info(storage: Storage) -> tuple[RepositoryInfo, str]:
    """The object `config` and its hash; raises `RepositoryError` when there is no repository or a newer one."""
    try:
        data = storage.get(CONFIG, SMALL_LIMIT)
    except MissingObjectError:
        raise RepositoryError(
            f"There is no repository at {storage.place}: the object config is missing",
            next="Correct repository.url, or make one with propolis repository init",
        ) from None
    try:
        number = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("format")
        if number is None or msgspec.json.decode(number, type=int) > FORMAT:
            found = bytes(number or b"unknown").decode(errors="replace")
            raise RepositoryError(
                f"The repository at {storage.place} has format {found}; this Propolis knows {FORMAT}",
                left="It was not touched",
                next="Use a newer Propolis",
            )
        info = msgspec.json.decode(data, type=RepositoryInfo)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"The object config of the repository at {storage.place} is damaged: {error}") from None
    if not (0 < info.segment_bytes <= MAX_SEGMENT_BYTES and 0 < info.gather_bytes <= MAX_SEGMENT_BYTES):
        raise IntegrityError(f"The object config of the repository at {storage.place} asks for absurd sizes")
    return info, hash_name(data)


def read_key_ring(storage: Storage, info: RepositoryInfo, config: str) -> KeyRing:
    """The newest key ring; `config` is the hash that the object `config` has."""
    names = sorted(stored.name for stored in storage.list("keys") if _KEYS.fullmatch(stored.name))
    if not names:
        raise MissingObjectError(f"The repository at {storage.place} has no key ring: keys/ is empty")
    data = storage.get(names[-1], SMALL_LIMIT)
    check_name(names[-1], data)
    try:
        ring = msgspec.json.decode(data, type=KeyRing)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{names[-1]} is damaged: {error}") from None
    if ring.repository != info.id or f"keys/{ring.sequence:06d}-" != names[-1][:12]:
        raise IntegrityError(f"{names[-1]} belongs to another repository")
    if config != ring.config:
        raise IntegrityError(f"The object config of the repository at {storage.place} is damaged")
    return ring


def unlock(ring: KeyRing, identities: Sequence[Identity], place: str) -> RepositoryKey:
    """The repository's key; raises `RepositoryError` naming the keys that would open it."""
    try:
        raw = age.open_bytes(base64.b64decode(ring.secret), identities, "the key ring", 1 << 12)
    except age.WrongKeyError:
        given = ", ".join(str(identity.recipient) for identity in identities) or "none"
        raise RepositoryError(
            f"The given key ({given}) doesn't open the repository at {place}",
            next=f"Use the recovery key of {' or '.join(ring.recovery)}"
            + (f", or the host key of {' or '.join(ring.host)}" if ring.host else ""),
        ) from None
    except ValueError:
        raise IntegrityError(f"The key ring of {place} is damaged") from None
    key = RepositoryKey(raw)
    if len(raw) != 32 or ring.mac != _ring_mac(ring, key):
        raise IntegrityError(f"The key ring of {place} was not written by a holder of the repository's key")
    return key


def _ring_mac(ring: KeyRing, key: RepositoryKey) -> str:
    return key.mac(b"keys\n", msgspec.json.encode(msgspec.structs.replace(ring, mac="")))
