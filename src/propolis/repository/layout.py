"""Names, limits, the object `config` that describes a repository, and the repository's own key."""

from __future__ import annotations

import datetime
import re
from pathlib import PurePosixPath

import msgspec
from blake3 import blake3

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.storage import MissingObjectError, Storage
from propolis.repository.structs import read_in_threads

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


@read_in_threads
class RepositoryInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """The object `config`."""

    format: int
    id: str
    created: str
    segment_bytes: int
    gather_bytes: int


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
    if hash_name(stored) != PurePosixPath(name).name[-64:]:
        raise misnamed(name)


def misnamed(name: str) -> IntegrityError:
    """The error for an object whose bytes haven't the hash in its name."""
    return IntegrityError(
        f"{name} is damaged: its bytes don't match its name",
        next="Run propolis repository check, and use another backup or a copy of the repository",
    )


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
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IntegrityError(f"The object config of the repository at {storage.place} is damaged: {error}") from None
    if not (0 < info.segment_bytes <= MAX_SEGMENT_BYTES and 0 < info.gather_bytes <= MAX_SEGMENT_BYTES):
        raise IntegrityError(f"The object config of the repository at {storage.place} asks for absurd sizes")
    return info, hash_name(data)
