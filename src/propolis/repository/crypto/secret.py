"""The repository's own secret key."""

from __future__ import annotations

from blake3 import blake3


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
