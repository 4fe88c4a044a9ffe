"""Plain JSON over HTTP to one host: the index of any make and version, and TheHive.

Built on elastic-transport, without the product check of the clients above it, so that Elasticsearch 7 to 9
and OpenSearch are spoken to alike. Redirects are not followed and nothing is retried here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from propolis.config.fields import TlsConfig
from propolis.errors import PreflightError

if TYPE_CHECKING:
    from elastic_transport import BaseNode, NodeConfig, TransportError


class HttpFailure(Exception):
    """No good answer. `status` is None where there was no HTTP answer at all; `body` is the decoded answer."""

    def __init__(self, message: str, *, status: int | None = None, body: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body

    def as_preflight(self, what: str) -> PreflightError:
        """Say the same as an error for the user."""
        return PreflightError(f"{what} does not answer: {self}")


class HttpClient:
    """A connection to one base URL; use it in a `with` statement.

    `login` is a user name and a password, `bearer` a key that is shown instead; `tls` says who must have signed an
    https server's certificate (without it, the system's authorities count). `timeout` is in seconds and counts for
    one request. Raises ConfigError for a file of `tls` that can't be used.
    """

    def __init__(
        self,
        url: str,
        *,
        login: tuple[str, str] | None = None,
        bearer: str | None = None,
        tls: TlsConfig | None = None,
        timeout: float,
    ) -> None:
        # Imported where it is used: it takes a tenth of a second, and `propolis --help` needs none of it.
        from elastic_transport import HttpHeaders, Transport
        from elastic_transport.client_utils import basic_auth_to_header, url_to_node_config

        headers = {"accept": "application/json"}
        if login is not None:
            headers["authorization"] = basic_auth_to_header(login)
        elif bearer is not None:
            headers["authorization"] = f"Bearer {bearer}"
        secure = {}
        if url.startswith("https:"):
            from propolis.stack.asking.tls import context

            secure["ssl_context"] = context(tls or TlsConfig())
        node: NodeConfig = url_to_node_config(url, use_default_ports_for_scheme=True).replace(
            headers=HttpHeaders(headers),
            request_timeout=timeout,
            connections_per_node=1,
            http_compress=False,
            **secure,
        )
        node_class = _any_name() if tls is not None and not tls.verify_host else None
        self._transport = Transport([node], max_retries=0, meta_header=False, node_class=node_class or "urllib3")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Any:
        """GET `target` and decode its JSON, or plain text. Raises HttpFailure unless the answer is a success."""
        return self.request("GET", target, headers=headers)[1]

    def request(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[Mapping[str, str], Any]:
        """Send a request, with `body` as JSON if there is one; give the headers (lower case) and the decoded answer.

        Raises HttpFailure unless the answer's status is a success (2xx).
        """
        from elastic_transport import (
            ConnectionError,
            ConnectionTimeout,
            SerializationError,
            TlsError,
            TransportError,
        )

        try:
            sent = {**({} if body is None else {"content-type": "application/json"}), **(headers or {})}
            meta, answer = self._transport.perform_request(method, target, body=body, headers=sent)
        except ConnectionTimeout:
            raise HttpFailure("no answer in time") from None
        except TlsError as error:
            raise HttpFailure(f"no secure connection ({_reason(error)})") from None
        except ConnectionError as error:
            raise HttpFailure(f"no connection ({_reason(error)})") from None
        except SerializationError:
            raise HttpFailure("its answer is not JSON") from None
        except TransportError as error:
            raise HttpFailure(_reason(error)) from None
        if not 200 <= meta.status < 300:
            raise HttpFailure(_status_text(meta.status), status=meta.status, body=answer)
        return {name.lower(): value for name, value in meta.headers.items()}, answer


def _any_name() -> type[BaseNode]:
    """Give a client that takes a certificate for any name: urllib3 compares it even where the context doesn't."""
    from elastic_transport import Urllib3HttpNode

    class AnyName(Urllib3HttpNode):
        def __init__(self, config: NodeConfig) -> None:
            super().__init__(config)
            self.pool.assert_hostname = False  # type: ignore[attr-defined]  # the pool of an https address has it

    return AnyName


def _status_text(status: int) -> str:
    known = {401: "it refuses the login", 403: "the user lacks a permission", 404: "not found"}
    return f"HTTP {status} ({known[status]})" if status in known else f"HTTP {status}"


def _reason(error: TransportError) -> str:
    """Give the operating system's own words instead of the client's nested representations."""
    cause: BaseException | None = error
    while cause is not None:
        for inner in (cause, *getattr(cause, "errors", ()), getattr(cause, "reason", None)):
            if isinstance(inner, OSError) and inner.strerror:
                return inner.strerror
        cause = cause.__cause__ or cause.__context__
    return "broken off"
