"""The parts of S3 that the fast client (obstore) doesn't speak: retention and versions, through botocore.

botocore takes a third of a second to load, so it is imported when it is first needed. Tries, waits and the account of
an error are the same as with the other client.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from propolis.errors import ConfigError
from propolis.s3.endpoint import Endpoint, Patience
from propolis.s3.errors import AnswerError, Told

CONNECTIONS = 16
"""So many requests go side by side; more don't help, as a processor makes some 700 a second."""
_CONNECTION = (
    (r"unable to get (local )?issuer|self.signed certificate", "UnknownIssuer"),
    (r"[Hh]ostname mismatch|IP address mismatch|doesn't match", "NotValidForName"),
    (r"certificate has expired|not yet valid", "Expired"),
    (r"WRONG_VERSION_NUMBER|wrong version number", "InvalidContentType"),
    (r"CERTIFICATE_VERIFY_FAILED", "InvalidCertificate"),
    (r"SSLError|\bSSL\b", "InvalidMessage"),
    (r"NameResolutionError|Name or service not known|name resolution", '"dns error" HttpError'),
    (r"ConnectTimeoutError|EndpointConnectionError", "kind: Connect HttpError"),
    (r"ReadTimeoutError", "kind: Timeout HttpError"),
)


class S3Api:
    """Calls of the S3 API by name, for one endpoint. Safe to use from several threads; nothing is contacted yet."""

    def __init__(self, server: Endpoint, patience: Patience) -> None:
        self._server, self._patience = server, patience
        self._client: Any = None
        self._trusted = -1
        self._lock = threading.Lock()

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a request, several times if need be. Raises `AnswerError`, which `s3errors` explains."""
        client = self._opened()
        waits = self._patience.waits()
        begun = time.monotonic()
        while True:
            try:
                answer: dict[str, Any] = getattr(client, operation)(**parameters)
                return answer
            except Exception as error:
                failure = _failure(error)
                wait = next(waits, None)
                if failure is None:
                    raise
                if wait is None or not failure.told.passing or time.monotonic() - begun > self._patience.total:
                    raise failure from None
            time.sleep(wait)

    def pages(self, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All answers of a listing of versions, one after the other. Raises `AnswerError`."""
        more: dict[str, Any] = {}
        while True:
            answer = self.call(operation, **parameters, **more)
            yield answer
            if not answer.get("IsTruncated"):
                return
            # A marker that is empty must not be sent.
            markers = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
            more = {sent: answer[told] for sent, told in markers.items() if answer.get(told)}

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> Any:
        import botocore.exceptions
        import botocore.session
        from botocore.config import Config

        config = Config(
            connect_timeout=self._patience.connect,
            read_timeout=self._patience.silence,
            max_pool_connections=CONNECTIONS,
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if self._server.url else {},
        )
        try:
            return botocore.session.Session().create_client(
                "s3",
                region_name=self._server.region,
                endpoint_url=self._server.url,
                aws_access_key_id=self._server.access_key,
                aws_secret_access_key=self._server.secret_key,
                verify=self._authorities(),
                config=config,
            )
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise ConfigError(f"No S3 client can be created: {error}", next="Correct endpoint and region") from None

    def _authorities(self) -> str:
        """A file of all authorities to trust: the system's and `ca`. It lies in memory as long as this object."""
        import ssl

        system = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
        trusted = system.read_bytes() if system.exists() else b""
        if self._server.ca is None and trusted:
            return str(system)
        if self._server.ca is not None:
            try:
                trusted += b"\n" + self._server.ca.read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"The authority's file {self._server.ca} can't be read: {error.strerror}", next="Correct ca"
                ) from None
        self._trusted = os.memfd_create("propolis-authorities")
        with os.fdopen(os.dup(self._trusted), "wb") as out:
            out.write(trusted)
        return f"/proc/self/fd/{self._trusted}"

    def __del__(self) -> None:
        if self._trusted >= 0:
            os.close(self._trusted)


def _failure(error: Exception) -> AnswerError | None:
    """What a client's error says, in the form of the other client's; None for what is no failed request."""
    import botocore.exceptions

    if isinstance(error, botocore.exceptions.ClientError):
        found = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = str(found.get("Code", ""))
        return AnswerError(Told(status, "" if code.isdigit() else code, str(found.get("Message", ""))[:300], ""))
    if isinstance(error, botocore.exceptions.NoCredentialsError | botocore.exceptions.PartialCredentialsError):
        return AnswerError(Told(None, "InvalidAccessKeyId", str(error), ""))
    if isinstance(error, botocore.exceptions.BotoCoreError):
        text = f"{type(error).__name__}: {error} {error.kwargs.get('error', '')}"
        if "HTTP request to an HTTPS server" in text:
            return AnswerError(Told(400, "", "HTTP request to an HTTPS server", ""))
        details = next((means for pattern, means in _CONNECTION if re.search(pattern, text)), "HttpError")
        return AnswerError(Told(None, "", str(error)[:300], details))
    return None
