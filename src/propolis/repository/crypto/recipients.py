"""Keys of other kinds than age's own: SSH keys and passphrases, and telling apart what a user names as a key."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

import pyrage
from cryptography.exceptions import UnsupportedAlgorithm

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.crypto.identities import CLOSED, Identity, Recipient, parse_identities, read_key_file

_SSH_KINDS = ("ssh-ed25519", "ssh-rsa")
_BEGIN = "-----BEGIN"
TERMINAL = Path("-")
"""Stands for a key file when a passphrase is to be asked for instead."""


class SshRecipient:
    """The public key of an SSH key, of a kind that age takes."""

    def __init__(self, text: str) -> None:
        """`text` as in a `.pub` file, its comment left out; raises `RepositoryError` when age can't use it."""
        parts = text.split()
        kind = parts[0] if parts else ""
        try:
            if kind not in _SSH_KINDS or len(parts) < 2:
                raise pyrage.RecipientError
            self.text = " ".join(parts[:2])
            self.wrapped = pyrage.ssh.Recipient.from_str(self.text)
        except pyrage.RecipientError:
            raise RepositoryError(
                f"{text.strip()[:80]!r} is not an SSH key that can be used", next="Use an ssh-ed25519 or ssh-rsa key"
            ) from None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"SshRecipient({self.text!r})"


class SshIdentity:
    """The private part of an SSH key."""

    def __init__(self, text: str, where: str = "What was given") -> None:
        """`text` as in the private key's file; raises `RepositoryError` (not showing it) when it can't be used."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

        try:
            private = serialization.load_ssh_private_key(text.encode(), None)
            if not isinstance(private, Ed25519PrivateKey | RSAPrivateKey):
                raise ValueError
            public = private.public_key().public_bytes(
                serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
            )
            self.wrapped = pyrage.ssh.Identity.from_buffer(text.encode())
        except TypeError:
            raise RepositoryError(
                f"{where} is an SSH key locked by a passphrase",
                next="Remove the passphrase from a copy of it (ssh-keygen -p -f COPY), use that copy, and delete it "
                "afterwards",
            ) from None
        except (ValueError, UnsupportedAlgorithm, pyrage.IdentityError):
            raise RepositoryError(
                f"{where} is not a private SSH key that can be used", next="Use an ssh-ed25519 or ssh-rsa key"
            ) from None
        self.recipient = SshRecipient(public.decode())

    def __repr__(self) -> str:
        return f"SshIdentity(of {self.recipient.text})"


class Passphrase:
    """Something a person remembers. It opens identities that were locked by it."""

    def __init__(self, text: str) -> None:
        if len(text) < 1:
            raise RepositoryError("The passphrase is empty")
        self._text = text

    def lock(self, identity: Identity) -> bytes:
        """The identity's private part, encrypted by the passphrase (age with scrypt)."""
        return bytes(pyrage.passphrase.encrypt(f"{identity.secret()}\n".encode(), self._text))

    def unlock(self, locked: bytes) -> Identity | None:
        """The identity; None when another passphrase locked it, or it asks for absurd amounts of work."""
        try:
            text = bytes(pyrage.passphrase.decrypt(locked, self._text)).decode()
        except (pyrage.DecryptError, UnicodeDecodeError):
            return None
        return Identity(text)

    def __repr__(self) -> str:
        return "Passphrase()"


AnyRecipient = Recipient | SshRecipient
AnyKey = Identity | SshIdentity | Passphrase


def parse_recipient(text: str) -> AnyRecipient:
    """A public key as text: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`. Raises `RepositoryError`."""
    return SshRecipient(text) if text.strip().startswith("ssh-") else Recipient(text)


def read_recipient(path: Path) -> tuple[AnyRecipient, str]:
    """The public key in a file (`id_ed25519.pub`, or one that holds an age recipient), and its comment."""
    try:
        with path.open(encoding="utf-8") as file:
            lines = [line.strip() for line in file.read(1 << 16).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        next = CLOSED if isinstance(error, PermissionError) else ""
        raise RepositoryError(f"The public key {path} can't be read: {reason}", next=next) from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if keys and keys[0].startswith(("AGE-SECRET-KEY-", _BEGIN)):
        raise RepositoryError(f"{path} holds a private key", next="Give the file of the public key")
    if len(keys) != 1:
        raise RepositoryError(f"{path} holds {len(keys)} keys instead of one")
    parts = keys[0].split(maxsplit=2)
    return parse_recipient(keys[0]), parts[2] if len(parts) == 3 else ""


def read_keys(path: Path) -> Sequence[AnyKey]:
    """The private keys in a file: age identities, or an SSH key. `-` asks for a passphrase instead.

    Raises `RepositoryError` when the file can't be read, holds no key, or others than its owner may read it.
    """
    if path == TERMINAL:
        return [ask_passphrase()]
    text = read_key_file(path)
    if text.lstrip().startswith(_BEGIN):
        return [SshIdentity(text.lstrip(), f"The key file {path}")]
    return parse_identities(text, path)


def ask_passphrase(prompt: str = "Passphrase: ", *, twice: bool = False) -> Passphrase:
    """A passphrase from the terminal, unseen; from the first line of standard input when that is no terminal."""
    if not sys.stdin.isatty():
        return Passphrase(sys.stdin.readline(1 << 12).rstrip("\n"))
    text = getpass.getpass(prompt)
    if twice and getpass.getpass("The same again: ") != text:
        raise RepositoryError("The two passphrases differ", left="Nothing was changed")
    return Passphrase(text)


def wrap(identities: Sequence[Identity], recipients: Sequence[AnyRecipient]) -> bytes:
    """An age file, to all of the recipients, that holds these identities, one a line."""
    text = "".join(f"{identity.secret()}\n" for identity in identities)
    wanted = [
        recipient.wrapped if isinstance(recipient, SshRecipient) else pyrage.x25519.Recipient.from_str(recipient.text)
        for recipient in recipients
    ]
    return bytes(pyrage.encrypt(text.encode(), wanted))


def unwrap(wrapped: bytes, keys: Sequence[Identity | SshIdentity], name: str) -> list[Identity] | None:
    """The identities that `wrap` kept; None when no key fits. Raises `IntegrityError` when it is damaged."""
    usable = [
        key.wrapped if isinstance(key, SshIdentity) else pyrage.x25519.Identity.from_str(key.secret()) for key in keys
    ]
    if not usable:
        return None
    try:
        text = bytes(pyrage.decrypt(wrapped, usable)).decode()
        return [Identity(line) for line in text.splitlines()]
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            return None
        raise IntegrityError(f"{name} is damaged: a key fits, but the encrypted data is incomplete") from None
    except (UnicodeDecodeError, RepositoryError):
        raise IntegrityError(f"{name} is damaged: a key opens it, but it holds no identities") from None
