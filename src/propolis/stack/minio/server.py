"""Asking MinIO: is it ready, which version is it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from propolis.config import secrets
from propolis.config.fields import TlsConfig
from propolis.config.schema import MinioConfig, S3Files
from propolis.errors import ConfigError
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.asking.retry import Alive, NotYet, until
from propolis.stack.minio.encryption import Encryption
from propolis.stack.model import Facts

_READY = "/minio/health/ready"
_INFO = "/minio/admin/v3/info"


@dataclass(frozen=True)
class MinioFacts(Facts):
    """What MinIO says of itself; the version is empty where its keys may not ask for it."""

    version: str
    encryption: Encryption

    @property
    def release(self) -> str:
        """Product and version."""
        return f"minio {self.version}" if self.version else "minio"

    @property
    def kept(self) -> dict[str, str]:
        """With what it is encrypted: the name of the key, never the key."""
        return {"minio_encryption": self.encryption.name}


def answers(config: MinioConfig, timeout: float, alive: Alive | None = None) -> None:
    """Wait until MinIO says that it is ready to serve. Raises PreflightError when `timeout` seconds have passed."""

    def attempt(left: float) -> None:
        try:
            with _client(config, min(left, 10.0)) as client:
                client.get(_READY)
        except HttpFailure as failure:
            raise NotYet(str(failure)) from None

    until(attempt, f"MinIO at {config.url}", timeout, alive)


def version(config: MinioConfig, files: S3Files) -> str:
    """Ask for the version, as an administrator or with the keys of `files`; empty where that isn't allowed.

    Raises PreflightError if MinIO doesn't answer.
    """
    try:
        with _client(config, 10.0) as client:
            client.get(_READY)
            try:
                keys = secrets.pair(config.access_key or files.access_key, config.secret_key or files.secret_key)
                answer = None if keys is None else client.get(_INFO, _signed(config.url, _INFO, keys))
            except (HttpFailure, ConfigError):
                return ""
    except HttpFailure as failure:
        raise failure.as_preflight(f"MinIO at {config.url}") from None
    return _version_in(answer)


def _version_in(answer: Any) -> str:
    servers = answer.get("servers") if isinstance(answer, dict) else None
    first = servers[0] if isinstance(servers, list) and servers else None
    found = first.get("version") if isinstance(first, dict) else None
    return found if isinstance(found, str) else ""


def _signed(url: str, target: str, keys: secrets.Login) -> dict[str, str]:
    """Headers of a GET of an administrator's, signed as MinIO wants it."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    parts = urlsplit(url)
    request = AWSRequest("GET", f"{parts.scheme}://{parts.netloc}{target}")
    S3SigV4Auth(Credentials(*keys), "s3", "us-east-1").add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


def _client(config: MinioConfig, timeout: float) -> HttpClient:
    return HttpClient(config.url, tls=TlsConfig(ca=config.ca), timeout=timeout)
