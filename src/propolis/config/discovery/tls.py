"""Finding what TLS needs: the truststore and keystore of a server's client, which is TheHive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from propolis.config.discovery.finding import Findings, Setting, first, source
from propolis.config.hocon import Hocon

_JKS = b"\xfe\xed\xfe\xed"


@dataclass(frozen=True)
class TlsKeys:
    """Names of settings in application.conf, and the section of propolis.yaml that takes them."""

    section: str
    trust: str
    trust_password: tuple[str, ...]
    store: str
    store_password: str


def is_on(value: object) -> bool:
    """Whether a setting of any of the files is true."""
    return str(value).lower() == "true"


def trusted(found: Findings, hocon: Hocon, keys: TlsKeys, asked: Setting) -> bool:
    """Find the truststore; one that is missing is a problem, as the server asks for TLS (`asked` says where)."""
    location = hocon.text(keys.trust)
    if location is None:
        found.problem(
            f"{asked.note}: it asks for TLS, but {keys.trust} is not set in {hocon.file}, so init can't tell whom "
            "to trust. Set it; TheHive needs it, too"
        )
        return False
    if not _usable(found, Path(location), source(hocon, keys.trust)):
        return False
    found.copy(f"{keys.section}ca", hocon, keys.trust)
    if password := first(hocon, *keys.trust_password):
        found.secret(f"{keys.section}ca_password", hocon, password)
    return True


def with_client(found: Findings, hocon: Hocon, keys: TlsKeys, asked: Setting) -> None:
    """Find the client's certificate and key, which the server asks for."""
    location = hocon.text(keys.store)
    if location is None:
        found.problem(
            f"{asked.note}: it requires client certificates, but {keys.store} is not set in {hocon.file}."
            f" Set it; TheHive needs it, too"
        )
    elif _usable(found, Path(location), source(hocon, keys.store)):
        found.copy(f"{keys.section}certificate", hocon, keys.store)
        if hocon.text(keys.store_password) is not None:
            found.secret(f"{keys.section}key_password", hocon, keys.store_password)


def _usable(found: Findings, file: Path, note: str) -> bool:
    """Say whether a store can be read; Java's own old format can't."""
    try:
        with file.open("rb") as stream:
            head = stream.read(len(_JKS))
    except OSError as error:
        found.problem(f"{note}: {file} can't be read: {error.strerror}")
        return False
    if head == _JKS:
        found.problem(
            f"{note}: {file} is a keystore in Java's old format (JKS), which can't be read. Convert it to"
            " PKCS12, which Java reads, too: keytool -importkeystore -deststoretype PKCS12"
            f" -srckeystore {file} -destkeystore {file.with_suffix('.p12')}"
        )
        return False
    return True
