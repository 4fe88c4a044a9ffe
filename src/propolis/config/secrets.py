"""Fetching a secret from where its reference points.

The value is returned and nothing else: no message, log line or `repr` of this module ever holds it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from propolis.config.fields import SecretRef
from propolis.errors import ConfigError

Login = tuple[str, str]
"""A user's name and password."""

_MAXIMUM = 64 * 1024
"""Bytes a secret's file may have: more is a wrong path, such as a device or a log."""


def resolve(ref: SecretRef) -> str:
    """Fetch the secret that `ref` points at.

    Raises ConfigError if it can't be had, is empty, or lies in a file that others than its owner may read.
    """
    if ref.file is not None:
        return _not_empty(_read(ref.file, private=True), f"the secret's file {ref.file}")
    if ref.env is not None:
        value = os.environ.get(ref.env)
        if value is None:
            raise ConfigError(f"The environment variable {ref.env}, which should hold a secret, is not set")
        return _not_empty(value, f"the environment variable {ref.env}")
    if ref.credential is not None:
        return _credential(ref.credential)
    if ref.hocon is not None:
        return _hocon(ref.hocon)
    raise AssertionError("a SecretRef has exactly one field set")


def login(username: str | None, password: SecretRef | None) -> Login | None:
    """Give a section's user and password; None if it names none. Raises ConfigError if the password can't be had."""
    return None if username is None or password is None else (username, resolve(password))


def pair(access_key: SecretRef | None, secret_key: SecretRef | None) -> Login | None:
    """Give a bucket's two keys; None if none are named. Raises ConfigError if one can't be had."""
    return None if access_key is None or secret_key is None else (resolve(access_key), resolve(secret_key))


def _credential(name: str) -> str:
    """Read a credential that systemd handed to this unit."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigError(
            f"The credential {name} is not available: this process was not started with LoadCredential=",
            next="Run it through its systemd unit, or use a `file:` reference",
        )
    if "/" in name or name in (".", ".."):
        raise ConfigError(f"The credential's name {name!r} must be a plain name, without /")
    # systemd lets the unit alone read these files, in some versions by an ACL, which shows as group bits.
    return _not_empty(_read(Path(folder) / name, private=False), f"the credential {name}")


def _hocon(reference: str) -> str:
    """Read FILE#KEY; the file's own permissions are the stack's business."""
    from propolis.config.hocon import read

    name, _, key = reference.partition("#")
    value = read(Path(name)).text(key)
    if value is None:
        raise ConfigError(f"{name}: has no key {key}, which should hold a secret")
    return _not_empty(value, f"{key} of {name}")


def _read(path: Path, *, private: bool) -> str:
    """Read a small text file, checking its mode on the open file so that it can't be swapped in between."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_file(path, os.fstat(descriptor), private)
            data = os.read(descriptor, _MAXIMUM + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"The secret's file {path} can't be read: {error.strerror}") from None
    if len(data) > _MAXIMUM:
        raise ConfigError(f"The secret's file {path} is larger than {_MAXIMUM} bytes: not a secret")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"The secret's file {path} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def _check_file(path: Path, status: os.stat_result, private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"The secret's file {path} is not a regular file")
    if private and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"The secret's file {path} is accessible to users other than its owner (mode "
            f"{status.st_mode & 0o777:04o})",
            next=f"Close it: chmod 600 {path}",
        )


def _not_empty(value: str, where: str) -> str:
    if not value:
        raise ConfigError(f"{where[0].upper()}{where[1:]} is empty; it should hold a secret")
    return value
