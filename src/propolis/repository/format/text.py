"""The text that manifests and indexes are made of: lines, compressed, encrypted, closed by a proof.

A text is `header line, lines…, end line`; the end line holds the number of lines between and a keyed hash of all
before it, so that a text cut short or written without the repository's key is noticed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import zstandard
from blake3 import blake3

from propolis.errors import IntegrityError
from propolis.repository.crypto import age
from propolis.repository.crypto.identities import Identity, Recipient
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.io.inflate import inflated
from propolis.repository.io.stream import Stream

LINE_LIMIT = 32 << 20
_BLOCK = 256 << 10
_WINDOW = 8 << 20
_LEVEL = 1
"""Most of a text is digests, which higher levels don't make smaller."""
_SAFE = bytes(set(range(0x20, 0x7F)) - {0x5C})
_UNSAFE = re.compile(rb"[^\x20-\x5b\x5d-\x7e]")
_ESCAPED = re.compile(rb"\\0([0-7]{3})")


def escape(data: bytes) -> bytes:
    """A field's bytes as printable ASCII: others as `\\0ooo`, which `printf %b` understands; nothing as `-`."""
    if not data:
        return b"-"
    if data == b"-":
        return rb"\0055"
    if not data.translate(None, _SAFE):  # several times faster than the expression
        return data
    return _UNSAFE.sub(lambda match: rb"\0%03o" % match[0][0], data)


def unescape(field: bytes) -> bytes:
    """The reverse of `escape`."""
    if field == b"-":
        return b""
    if b"\\" not in field:
        return field
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)


class TextWriter:
    """Gathers lines, compressed as they come. The header may be given last."""

    def __init__(self, key: RepositoryKey) -> None:
        self._key = key
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
        self._hasher = blake3()
        self._stored = bytearray()
        self._block: list[bytes] = []
        self._block_size = 0
        self.lines = 0

    def add(self, line: bytes) -> None:
        """One line, without its newline."""
        self.lines += 1
        self._block.append(line)
        self._block_size += len(line)
        if self._block_size > _BLOCK:
            self._compress()

    def finish(self, header: bytes, recipients: Sequence[Recipient]) -> bytearray:
        """The whole text's stored bytes."""
        self._compress()
        proof = self._key.mac(header, b"\n", self._hasher.digest())
        end = b"end\t%d\t%s\n" % (self.lines, proof.encode())
        self._stored += self._compressor.compress(end)
        self._stored += self._compressor.flush()
        # The header is a compressed frame of its own, so that a list of backups reads only the beginning of each.
        first = zstandard.ZstdCompressor(level=_LEVEL).compress(header + b"\n")
        self._stored[:0] = first
        return age.seal_bytes(self._stored, recipients)

    def _compress(self) -> None:
        if not self._block:
            return
        data = b"\n".join(self._block) + b"\n"
        self._hasher.update(data)
        self._stored += self._compressor.compress(data)
        self._block.clear()
        self._block_size = 0


def read_header(beginning: memoryview, identities: Sequence[Identity], name: str, *, whole: bool) -> bytes | None:
    """The first line, from an object's first bytes; None when it needs more of them."""
    pieces = age.open_pieces(Stream.of(beginning), identities, name, whole=whole)
    found = bytearray()
    for block in _inflate(pieces, name):
        line_end = block.find(b"\n")
        found += block if line_end < 0 else block[:line_end]
        if line_end >= 0:
            return bytes(found)
        if len(found) > LINE_LIMIT:
            break
    if whole:
        raise IntegrityError(f"{name} is damaged: it has no header line")
    return None


def read_lines(
    stored: memoryview, identities: Sequence[Identity], key: RepositoryKey | None, name: str
) -> Iterator[list[bytes]]:
    """The lines between header and end, in blocks. With a key, the proof is checked after the last one.

    Raises `IntegrityError` when the text is damaged, cut short, continued or not proven.
    """
    hasher = blake3()
    header: bytes | None = None
    count = 0
    rest = b""
    end: bytes | None = None
    opened = age.open_pieces(Stream.of(stored), identities, name)
    for block in itertools.chain(_inflate(opened, name), (b"",)):
        if end is not None and block:
            raise IntegrityError(f"{name} is damaged: it continues after its end")
        if len(rest) > LINE_LIMIT:
            raise IntegrityError(f"{name} is damaged: it has a line of more than {LINE_LIMIT} bytes")
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if header is None and lines:
            header = lines.pop(0)
        if lines and lines[-1].startswith(b"end\t"):
            end = lines.pop()
            if rest:
                raise IntegrityError(f"{name} is damaged: it continues after its end")
        if lines:
            count += len(lines)
            hasher.update(b"\n".join(lines) + b"\n")
            yield lines
    fields = (end or b"").split(b"\t")
    if header is None or rest or len(fields) != 3 or fields[1] != b"%d" % count:
        raise IntegrityError(f"{name} is cut short", next="Use another backup or a copy of the repository")
    if key is not None and fields[2].decode(errors="replace") != key.mac(header, b"\n", hasher.digest()):
        raise IntegrityError(
            f"{name} was not written by a holder of the repository's key", next="Do not restore from it"
        )


def _inflate(pieces: Iterator[memoryview], name: str) -> Iterator[bytes]:
    with inflated(pieces, _WINDOW) as reader:
        while True:
            try:
                block = reader.read(_BLOCK)
            except zstandard.ZstdError:
                raise IntegrityError(f"{name} is damaged: it can't be decompressed") from None
            if not block:
                return
            yield block
