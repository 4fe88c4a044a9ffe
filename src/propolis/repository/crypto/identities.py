"""age X25519 keys: reading, making and keeping them. A key's private part never shows in a message or a repr."""

from __future__ import annotations

import os
import stat
from functools import cached_property
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from propolis.durable import write_new
from propolis.errors import RepositoryError

CLOSED = "Run Propolis as root, or as the user that the file belongs to"
"""What to do about a key file that this user may not read."""

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


class Recipient:
    """A public key: data can be encrypted to it."""

    def __init__(self, text: str) -> None:
        """`text` as age writes it, `age1…`; raises `RepositoryError` when it is not one."""
        try:
            self.text = str(pyrage.x25519.Recipient.from_str(text.strip()))
        except pyrage.RecipientError:
            raise RepositoryError(
                f"{text.strip()[:80]!r} is not an age recipient", next="Recipients begin with age1"
            ) from None
        self.raw = _bech32_payload(self.text)
        self._public = X25519PublicKey.from_public_bytes(self.raw)

    def exchange(self) -> tuple[bytes, bytes]:
        """A new ephemeral share and the secret it makes with this key."""
        ephemeral = X25519PrivateKey.generate()
        return ephemeral.public_key().public_bytes_raw(), ephemeral.exchange(self._public)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Recipient({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipient) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)


class Identity:
    """A private key: opens what was encrypted to its recipient."""

    def __init__(self, text: str) -> None:
        """`text` as age writes it, `AGE-SECRET-KEY-1…`; raises `RepositoryError` (not showing it) otherwise."""
        try:
            parsed = pyrage.x25519.Identity.from_str(text.strip())
        except pyrage.IdentityError:
            raise RepositoryError(
                "The given key is not an age identity", next="Identities begin with AGE-SECRET-KEY-1"
            ) from None
        self._text = str(parsed)
        self._private = X25519PrivateKey.from_private_bytes(_bech32_payload(self._text))

    @classmethod
    def generate(cls) -> Identity:
        """A new key pair."""
        return cls(str(pyrage.x25519.Identity.generate()))

    @cached_property
    def recipient(self) -> Recipient:
        """Its public key."""
        return Recipient(str(pyrage.x25519.Identity.from_str(self._text).to_public()))

    def exchange(self, share: bytes) -> bytes | None:
        """The secret this key makes with an ephemeral share; None for shares that no honest writer makes."""
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            return None

    def secret(self) -> str:
        """The private part itself, `AGE-SECRET-KEY-1…`: only for writing it to a key file or showing it once."""
        return self._text

    def __repr__(self) -> str:
        return f"Identity(of {self.recipient.text})"


def read_identities(path: Path) -> list[Identity]:
    """The identities in an age key file (one a line, `#` begins a comment).

    Raises `RepositoryError` when it can't be read, holds none, or others than its owner may read it.
    """
    return parse_identities(read_key_file(path), path)


def parse_identities(text: str, path: Path) -> list[Identity]:
    """The identities in the text of the key file `path`; raises `RepositoryError` when it holds none."""
    lines = [line.strip() for line in text.splitlines()]
    identities = [Identity(line) for line in lines if line and not line.startswith("#")]
    if not identities:
        raise RepositoryError(f"The key file {path} holds no age identity")
    return identities


def is_there(path: Path) -> bool:
    """Whether there is such a key file; `RepositoryError` when that can't be seen, for want of permission."""
    try:
        return path.exists()
    except OSError as error:
        raise RepositoryError(f"The key file {path} can't be read: {_reason(error)}", next=CLOSED) from None


def read_key_file(path: Path) -> str:
    """The text of a file with private keys; `RepositoryError` unless it can be read, and by its owner only."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1 << 20)
    except FileNotFoundError:
        raise RepositoryError(f"There is no key file {path}", next="Give the file with the age identity") from None
    except (OSError, UnicodeDecodeError) as error:
        next = CLOSED if isinstance(error, PermissionError) else ""
        raise RepositoryError(f"The key file {path} can't be read: {_reason(error)}", next=next) from None
    if stat.S_ISREG(mode) and mode & 0o077:
        raise RepositoryError(
            f"The key file {path} can be read by others (mode {stat.S_IMODE(mode):04o})", next=f"Run chmod 600 {path}"
        )
    return text


def write_identity(path: Path, identity: Identity, comment: str = "") -> None:
    """Keep an identity in a new file of mode 0600, as age-keygen does; `RepositoryError` when it exists.

    A failure leaves no part of it: nobody is to keep half a key, or be told that there is one.
    """
    lines = [f"# {comment}"] if comment else []
    lines += [f"# public key: {identity.recipient}", identity.secret(), ""]
    try:
        write_new(path, "\n".join(lines))
    except FileExistsError:
        raise RepositoryError(f"{path} exists already", left="It was not changed") from None
    except OSError as error:
        raise RepositoryError(
            f"The key file {path} can't be written: {_reason(error)}", left="No partial file was left"
        ) from None


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text"


def _bech32_payload(text: str) -> bytes:
    """The 32 bytes in a Bech32 string (BIP 173) whose checksum pyrage has checked."""
    data = text.lower().rpartition("1")[2][:-6]
    value = 0
    for character in data:
        value = value << 5 | _BECH32.index(character)
    return (value >> (len(data) * 5 - 256)).to_bytes(32, "big")
