"""The age file format, version 1 with X25519 recipients (https://c2sp.org/age), for bulk data.

Written here because a pack's payload has to be encrypted with the interpreter lock released, straight from one
reused buffer into another. Any `age` program reads what `seal` writes and the reverse.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.crypto.identities import Identity, Recipient
from propolis.repository.io.stream import Stream

CHUNK = 64 * 1024
"""Plain bytes in one encrypted chunk."""
TAG = 16
"""Bytes that encryption adds to each chunk."""
_INTRO = b"age-encryption.org/v1\n"
_STANZA = b"-> X25519 "
_X25519_INFO = b"age-encryption.org/v1/X25519"
_HEADER_LIMIT = 64 * 1024


class Hasher(Protocol):
    """Takes the stored bytes as they come into being."""

    def update(self, data: memoryview, /) -> object:
        """More bytes."""
        ...


class WrongKeyError(IntegrityError):
    """None of the keys opens this object. A repository's own keys open all of its objects: it isn't one of them."""


def sealed_size(plain: int, recipients: int) -> int:
    """Bytes that `seal` writes for `plain` bytes to so many recipients."""
    header = len(_INTRO) + recipients * (len(_STANZA) + 43 + 1 + 43 + 1) + 4 + 43 + 1
    return header + 16 + plain + TAG * max(1, -(-plain // CHUNK))


def slices(data: memoryview) -> Iterator[memoryview]:
    """A buffer in pieces of `CHUNK` bytes, without copying."""
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


def seal(
    pieces: Iterable[bytes | memoryview],
    recipients: Sequence[Recipient],
    out: memoryview,
    hasher: Hasher | None = None,
) -> int:
    """Encrypt `pieces` (each exactly `CHUNK` bytes but for the last) into `out`; the number of bytes written.

    `hasher` sees what was written while it is still in the processor's cache.
    """
    header, cipher = _new_header(recipients)
    end = len(header)
    out[:end] = header
    hashed = 0
    counter = 0
    iterator = iter(pieces)
    piece: bytes | memoryview = next(iterator, b"")
    while True:
        following = next(iterator, None)
        nonce = counter.to_bytes(11, "big") + (b"\x01" if following is None else b"\x00")
        stop = end + len(piece) + TAG
        cipher.encrypt_into(nonce, piece, None, out[end:stop])
        end = stop
        counter += 1
        if hasher is not None and (following is None or end - hashed >= 8 * CHUNK):
            hasher.update(out[hashed:end])
            hashed = end
        if following is None:
            return end
        piece = following


def seal_bytes(data: bytes | bytearray | memoryview, recipients: Sequence[Recipient]) -> bytearray:
    """`seal` for a small object."""
    out = bytearray(sealed_size(len(data), len(recipients)))
    view = memoryview(out)
    seal(slices(memoryview(data)), recipients, view)
    return out


def open_into(stored: Stream, identities: Sequence[Identity], out: memoryview, name: str) -> int:
    """Decrypt a whole object into `out`; the number of plain bytes.

    Raises `IntegrityError` when the object is damaged, cut short or larger than `out`, `WrongKeyError` when no
    identity fits.
    """
    end = 0
    for cipher, nonce, chunk in _chunks(stored, identities, name, most=len(out)):
        begin, end = end, end + len(chunk) - TAG
        _decrypt(cipher, nonce, chunk, out[begin:end], name)
    return end


def open_pieces(
    stored: Stream, identities: Sequence[Identity], name: str, *, whole: bool = True
) -> Iterator[memoryview]:
    """Decrypted chunks of an object, each valid until the next is asked for.

    With `whole=False`, `stored` is only the beginning of an object: what of it can be decrypted is given.
    """
    scratch = memoryview(bytearray(CHUNK))
    for cipher, nonce, chunk in _chunks(stored, identities, name, whole=whole):
        plain = scratch[: len(chunk) - TAG]
        _decrypt(cipher, nonce, chunk, plain, name)
        yield plain


def open_intact(
    stored: memoryview, size: int, identities: Sequence[Identity], out: memoryview, name: str
) -> Iterator[tuple[int, int]]:
    """Decrypt into `out` the chunks of a damaged object that are whole, each to where it belongs.

    `size` is how many bytes the object had when it was stored. Gives the (begin, end) of each in `out`, in order.
    Raises `IntegrityError` when the object's header is damaged, `WrongKeyError` when no identity fits.
    """
    payload, cipher = _read_header(stored, identities, name)
    for counter, position in enumerate(range(payload, min(size, len(stored)), CHUNK + TAG)):
        end = min(position + CHUNK + TAG, size)
        begin, plain = counter * CHUNK, end - position - TAG
        if end > len(stored) or plain < 0 or begin + plain > len(out):
            return
        nonce = counter.to_bytes(11, "big") + (b"\x01" if end == size else b"\x00")
        try:
            cipher.decrypt_into(nonce, stored[position:end], None, out[begin : begin + plain])
        except InvalidTag:
            continue
        yield begin, begin + plain


def open_bytes(
    stored: bytes | bytearray | memoryview, identities: Sequence[Identity], name: str, limit: int
) -> bytes:
    """`open_into` for a small object of at most `limit` plain bytes."""
    view = memoryview(stored)
    out = bytearray(min(limit, len(view)))
    size = open_into(Stream.of(view), identities, memoryview(out), name)
    return bytes(memoryview(out)[:size])


def _chunks(
    stored: Stream, identities: Sequence[Identity], name: str, *, whole: bool = True, most: int | None = None
) -> Iterator[tuple[ChaCha20Poly1305, bytes, memoryview]]:
    """The cipher, nonce and bytes of each encrypted chunk, valid until the next is asked for.

    Raises `IntegrityError` when the object can't be whole, or holds more than `most` plain bytes. Not `whole`: the
    last chunk there is, which may be cut short, isn't given.
    """
    pieces = iter(stored.pieces)
    piece = next(pieces, memoryview(b""))
    begin, cipher = _read_header(piece, identities, name)
    left = stored.size - begin
    if whole:
        plain = _plain_size(left, name)
        if most is not None and plain > most:
            raise IntegrityError(f"{name} holds {plain} bytes; at most {most} are allowed")
    for counter in itertools.count():
        size = min(CHUNK + TAG, left)
        left -= size
        if not (left or whole):
            return
        chunk = piece[begin : begin + size]
        begin += size
        if len(chunk) < size:
            # It goes on in the next piece, which may take this one's place in memory.
            joined = bytearray(chunk)
            piece = next(pieces, memoryview(b""))
            begin = size - len(joined)
            joined += piece[:begin]
            chunk = memoryview(joined)
            if len(chunk) < size:
                raise _cut_short(name)
        yield cipher, counter.to_bytes(11, "big") + (b"\x00" if left else b"\x01"), chunk
        if not left:
            return


def _decrypt(cipher: ChaCha20Poly1305, nonce: bytes, chunk: memoryview, out: memoryview, name: str) -> None:
    try:
        cipher.decrypt_into(nonce, chunk, None, out)
    except InvalidTag:
        raise _damaged(name) from None


def _cut_short(name: str) -> IntegrityError:
    return IntegrityError(f"{name} is cut short", next="Use another backup or a copy of the repository")


def _damaged(name: str) -> IntegrityError:
    return IntegrityError(
        f"{name} is damaged: its bytes are not those that were encrypted",
        next="Run `propolis repository check`, and use another backup or a copy of the repository",
    )


def _plain_size(body: int, name: str) -> int:
    """Plain bytes in `body` encrypted ones; refuses sizes that no whole object has."""
    chunks, rest = divmod(body, CHUNK + TAG)
    if body < TAG or 0 < rest < TAG or (rest == TAG and chunks):
        raise _cut_short(name)
    return body - TAG * (chunks + (1 if rest else 0))


def _derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869) for one block of 32 bytes."""
    extracted = hmac.digest(salt or bytes(32), secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def _encode(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _decode(text: bytes, name: str) -> bytes:
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise _damaged(name) from None
    if _encode(data) != text:
        raise _damaged(name)
    return data


def _new_header(recipients: Sequence[Recipient]) -> tuple[bytes, ChaCha20Poly1305]:
    if not recipients:
        raise RepositoryError("Nothing can be encrypted: the repository has no recipient")
    file_key = os.urandom(16)
    lines = [_INTRO]
    for recipient in recipients:
        share, shared = recipient.exchange()
        wrap = _derive(shared, share + recipient.raw, _X25519_INFO)
        body = ChaCha20Poly1305(wrap).encrypt(bytes(12), file_key, None)
        lines.append(_STANZA + _encode(share) + b"\n" + _encode(body) + b"\n")
    lines.append(b"---")
    header = b"".join(lines)
    mac = hmac.digest(_derive(file_key, b"", b"header"), header, hashlib.sha256)
    nonce = os.urandom(16)
    cipher = ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))
    return header + b" " + _encode(mac) + b"\n" + nonce, cipher


def _read_header(stored: memoryview, identities: Sequence[Identity], name: str) -> tuple[int, ChaCha20Poly1305]:
    """Where the payload begins and the cipher that opens it."""
    head = bytes(stored[:_HEADER_LIMIT])
    if not head.startswith(_INTRO):
        raise IntegrityError(f"{name} is not an encrypted object: it doesn't begin like one")
    end = head.find(b"\n--- ")
    line_end = head.find(b"\n", end + 1)
    if end < 0 or line_end < 0 or len(stored) < line_end + 1 + 16:
        raise IntegrityError(f"{name} is cut short or damaged in its header")
    file_key = _unwrap(head[len(_INTRO) : end].split(b"\n"), identities, name)
    expected = hmac.digest(_derive(file_key, b"", b"header"), head[: end + 4], hashlib.sha256)
    if not hmac.compare_digest(_decode(head[end + 5 : line_end], name), expected):
        raise _damaged(name)
    payload = line_end + 1 + 16
    nonce = head[line_end + 1 : payload]
    return payload, ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))


def _unwrap(lines: list[bytes], identities: Sequence[Identity], name: str) -> bytes:
    """The file key, from the first stanza that one of the identities opens."""
    for index, line in enumerate(lines):
        if not line.startswith(_STANZA) or index + 1 >= len(lines):
            continue
        share = _decode(line[len(_STANZA) :], name)
        body = _decode(lines[index + 1], name)
        if len(share) != 32 or len(body) != 32:
            raise _damaged(name)
        for identity in identities:
            shared = identity.exchange(share)
            if shared is None:
                raise _damaged(name)
            wrap = _derive(shared, share + identity.recipient.raw, _X25519_INFO)
            try:
                return ChaCha20Poly1305(wrap).decrypt(bytes(12), body, None)
            except InvalidTag:
                continue
    raise WrongKeyError(f"None of the given keys opens {name}")
