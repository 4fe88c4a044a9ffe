"""Names of objects, and limits of their sizes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from blake3 import blake3

from propolis.errors import IntegrityError
from propolis.repository.storage.kinds import CONFIG as CONFIG
from propolis.repository.storage.kinds import INDEX_LIMIT as INDEX_LIMIT
from propolis.repository.storage.kinds import MANIFEST_LIMIT as MANIFEST_LIMIT
from propolis.repository.storage.kinds import MAX_SEGMENT_BYTES as MAX_SEGMENT_BYTES
from propolis.repository.storage.kinds import SMALL_LIMIT as SMALL_LIMIT

FORMAT = 1
SEGMENT_BYTES = 16 << 20
"""Files are cut at multiples of this. It bounds the memory of a worker: one such piece plain, one stored.
Smaller pieces are gathered in packs until they fill half of it."""

_HEX = re.compile(r"[0-9a-f]{64}")
_MANIFEST = re.compile(r"manifests/(\d{8}T\d{6}Z)-([0-9a-f]{64})")


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


def check_name(name: str, stored: memoryview) -> None:
    """Compare an object's bytes with the hash in its name; raises `IntegrityError`."""
    if hash_name(stored) != PurePosixPath(name).name[-64:]:
        raise misnamed(name)


def misnamed(name: str) -> IntegrityError:
    """The error for an object whose bytes haven't the hash in its name."""
    return IntegrityError(
        f"{name} is damaged: its bytes don't match its name",
        next="Run `propolis repository check`, and use another backup or a copy of the repository",
    )
