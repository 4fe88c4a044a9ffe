"""Who holds the keys of an encrypted MinIO: its data is worthless without them, and not all are in a backup.

Names of variables: MinIO's reference of its settings for KMS and KES. Keys themselves are never kept or told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from propolis.config.environment import described, of_service, variables
from propolis.config.schema import Config, MinioConfig

_KEY = "MINIO_KMS_SECRET_KEY"
_KEY_FILE = "MINIO_KMS_SECRET_KEY_FILE"
_SERVERS = {"MINIO_KMS_KES_ENDPOINT": "MINIO_KMS_KES_KEY_NAME", "MINIO_KMS_SERVER": "MINIO_KMS_SSE_KEY"}
"""Variables that name a server of keys, and those that name its key."""


@dataclass(frozen=True)
class Encryption:
    """With what MinIO encrypts."""

    name: str = ""
    """The key's name, after its kind, e.g. `key my-key`, `server my-key`; empty where nothing is encrypted."""
    where: str = ""
    """Where the key is: a file, or the URL of a server."""
    kept: bool = True
    """Whether a backup holds the key."""
    told: bool = True
    """Whether anything is known of its environment at all."""


def encryption(config: Config, section: MinioConfig) -> Encryption:
    """Find it in MinIO's environment: the file that propolis.yaml names, its service's description, its unit.

    Raises ConfigError if its description can't be read.
    """
    found: list[tuple[Path | None, Mapping[str, str]]] = []
    if section.environment is not None:
        found.append((section.environment, variables(section.environment)))
    description = config.platform.services / "minio.yaml"
    if (own := described(description)) is not None:
        found.append((description, own))
    elif unit := of_service(Path("/"), "minio", "minio"):
        found.append((Path("/etc/default/minio"), unit))
    if not found:
        return Encryption(told=False)
    return _of(found, section.config)


def _of(environments: Iterable[tuple[Path | None, Mapping[str, str]]], folder: Path | None) -> Encryption:
    for source, environment in environments:
        if value := environment.get(_KEY):
            return Encryption(f"key {_name(value)}", str(source), _lies_in(source, folder))
        if value := environment.get(_KEY_FILE):
            file = Path(value)
            return Encryption(f"key {_name(_text(file))}", str(file), _lies_in(file, folder))
        for address, key in _SERVERS.items():
            if value := environment.get(address):
                return Encryption(f"server {environment.get(key, '')}".rstrip(), value, kept=False)
    return Encryption()


def _name(key: str) -> str:
    """The name of a key, which is written `name:key`."""
    name, separator, _ = key.strip().partition(":")
    return name if separator else ""


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _lies_in(file: Path | None, folder: Path | None) -> bool:
    return file is not None and folder is not None and file.resolve().is_relative_to(folder.resolve())
