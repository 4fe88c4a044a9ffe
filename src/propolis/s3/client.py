"""Clients of an S3 server (obstore): with time-outs, and trying again."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from obstore.store import S3Store

from propolis.errors import ConfigError
from propolis.s3.endpoint import GROWTH, PATIENT, Endpoint, Patience


def open_bucket(
    bucket: str,
    prefix: str,
    server: Endpoint,
    *,
    patience: Patience = PATIENT,
    put_headers: Mapping[str, str] | None = None,
) -> S3Store:
    """An S3 client for the part of a bucket below `prefix`, with time-outs and retries; nothing is contacted yet.

    With `put_headers`, which go with every request, it is for single puts only, and these carry a checksum.
    Raises `ConfigError` when the file of authorities to trust can't be used.
    """
    options: dict[str, Any] = {
        "connect_timeout": f"{patience.connect:g}s",
        "read_timeout": f"{patience.silence:g}s",
        # A large object may take long as long as it keeps coming, so the whole has no time of its own.
        "timeout": "1day",
    }
    if server.is_plain:
        options["allow_http"] = True
    if server.ca is not None:
        options["root_certificate"] = _authorities(server.ca)
    settings: dict[str, Any] = {"region": server.region}
    if put_headers:
        options["default_headers"] = dict(put_headers)
        settings["checksum_algorithm"] = "SHA256"  # AWS wants one with what it is to lock
    elif not server.is_plain:
        # TLS keeps the bytes as they were sent: a hash of them in the signature would only cost processor time.
        settings["unsigned_payload"] = True
    if server.url:
        settings["endpoint"] = server.url
        settings["virtual_hosted_style_request"] = False
    if server.access_key is not None and server.secret_key is not None:
        settings |= {"access_key_id": server.access_key, "secret_access_key": server.secret_key}
    return S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        client_options=options,  # type: ignore[arg-type]
        retry_config={
            "max_retries": patience.retries,
            "retry_timeout": datetime.timedelta(seconds=patience.total),
            "backoff": {
                "init_backoff": datetime.timedelta(seconds=patience.first_wait),
                "max_backoff": datetime.timedelta(seconds=patience.longest_wait),
                "base": GROWTH,
            },
        },
        **settings,
    )


def _authorities(ca: Path) -> bytes:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        pem = ca.read_bytes()
    except OSError as error:
        raise ConfigError(f"The authority's file {ca} can't be read: {error.strerror}", next="Correct ca") from None
    try:
        if load_pem_x509_certificates(pem):
            return pem
    except ValueError:
        pass
    raise ConfigError(f"{ca} holds no PEM certificate", next="Set ca to the authority's certificate")
