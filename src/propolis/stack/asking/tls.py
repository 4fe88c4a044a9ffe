"""TLS to the stack's servers: whom to trust and what to show, from PEM files or from PKCS12, as Java's stores are."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from propolis.config import secrets
from propolis.config.fields import SecretRef, TlsConfig
from propolis.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

_PEM = b"-----BEGIN "
_JKS = b"\xfe\xed\xfe\xed"
_LARGEST = 16 * 2**20
"""Bytes: the authorities of a whole system are a twentieth of it."""


def context(config: TlsConfig) -> ssl.SSLContext:
    """Make the client's side of TLS. Raises ConfigError naming a file that can't be used.

    Authorities that are configured replace those of the system. A key is never written to a disk.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = config.verify_host
    if config.ca is None:
        made.load_default_certs()
    else:
        _trust(made, config.ca, config.ca_password)
    if config.certificate is not None:
        _show(made, config.certificate, config.key, config.key_password)
    return made


def _trust(made: ssl.SSLContext, file: Path, password: SecretRef | None) -> None:
    data = _read(file)
    try:
        made.load_verify_locations(
            cadata=data.decode("ascii") if _is_pem(data) else _authorities(file, data, password)
        )
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{file}: holds no certificates that can be used ({_reason(error)})") from None


def _show(made: ssl.SSLContext, file: Path, key: Path | None, password: SecretRef | None) -> None:
    secret = None if password is None else secrets.resolve(password)
    try:
        if _is_pem(_read(file)):
            # A password that isn't wanted is ignored; without one, OpenSSL would ask on the terminal.
            made.load_cert_chain(file, key, secret if secret is not None else "")
        else:
            _load_from_memory(made, _pem_of(file, secret))
    except (ssl.SSLError, OSError) as error:
        both = f"{file} and {key}" if key is not None else str(file)
        raise ConfigError(f"{both}: hold no certificate with its key ({_reason(error)})") from None


def _authorities(file: Path, data: bytes, password: SecretRef | None) -> bytes:
    """Give the certificates of a PKCS12 store, as DER one after another."""
    from cryptography.hazmat.primitives.serialization import Encoding

    store = _open(file, data, None if password is None else secrets.resolve(password))
    found = [entry.certificate for entry in store.additional_certs]
    if store.cert is not None:
        found.append(store.cert.certificate)
    if not found:
        raise ConfigError(f"{file}: holds no certificates")
    return b"".join(certificate.public_bytes(Encoding.DER) for certificate in found)


def _pem_of(file: Path, password: str | None) -> bytes:
    """Give key and certificates of a PKCS12 store as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    store = _open(file, _read(file), password)
    if store.key is None or store.cert is None:
        raise ConfigError(f"{file}: holds no private key with its certificate")
    key = store.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = [store.cert, *store.additional_certs]
    return key + b"".join(entry.certificate.public_bytes(Encoding.PEM) for entry in chain)


def _open(file: Path, data: bytes, password: str | None) -> PKCS12KeyAndCertificates:
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    if data.startswith(_JKS):
        raise ConfigError(
            f"{file}: is a keystore in Java's old format (JKS), which can't be read",
            next="Convert it to PKCS12: keytool -importkeystore -deststoretype PKCS12 "
            f"-srckeystore {file} -destkeystore {file.with_suffix('.p12')}",
        )
    try:
        return load_pkcs12(data, None if password is None else password.encode())
    except (ValueError, TypeError):
        raise ConfigError(f"{file}: is neither PEM nor PKCS12 that this password opens") from None


def _load_from_memory(made: ssl.SSLContext, pem: bytes) -> None:
    """Hand a key to OpenSSL, which takes files only, by way of one that has no name and no place on a disk."""
    descriptor = os.memfd_create("propolis-tls", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        made.load_cert_chain(f"/proc/self/fd/{descriptor}")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{file}: can't be read: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{file}: is too large for certificates")
    return data


def _is_pem(data: bytes) -> bool:
    return _PEM in data


def _reason(error: Exception) -> str:
    """Give OpenSSL's own word, such as `KEY_VALUES_MISMATCH`; never what a file holds."""
    return str(getattr(error, "reason", None) or "").replace("_", " ").lower() or type(error).__name__
