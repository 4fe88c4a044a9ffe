"""Decompresses what is decrypted chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

import zstandard


def inflated(pieces: Iterator[memoryview], window: int) -> zstandard.ZstdDecompressionReader:
    """A reader of the plain bytes, for a `with` block. Frames may follow one another.

    `window` bounds the memory (bytes) that it may ask for: what needs more is refused as damaged (`ZstdError`).
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=window)
    return decompressor.stream_reader(_Pieces(pieces), read_across_frames=True)  # type: ignore[arg-type]


class _Pieces:
    """Chunks as the file object that the decompressor reads from."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        return bytes(next(self._pieces, b""))
