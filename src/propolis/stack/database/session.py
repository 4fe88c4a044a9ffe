"""Sessions with the one configured Cassandra, and why there is none."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from propolis.config import secrets
from propolis.config.schema import CassandraConfig
from propolis.errors import PreflightError
from propolis.stack.asking.retry import REFUSED_NEXT, NotYet, Refused

if TYPE_CHECKING:
    from cassandra.cluster import Session


class OthersMissing(NotYet):
    """It answers, but can't do what was asked of it without other nodes of its cluster."""


def failed(config: CassandraConfig, missing: NotYet) -> PreflightError:
    """Say as an error for the user why a query was not possible."""
    if isinstance(missing, Refused):
        return PreflightError(f"{label(config)} answers, but {missing}", next=REFUSED_NEXT)
    return PreflightError(f"{label(config)} does not answer: {missing}")


def label(config: CassandraConfig) -> str:
    """How the server is called in messages."""
    return f"Cassandra at {config.host}:{config.port}"


@contextmanager
def opened(config: CassandraConfig, login: secrets.Login | None, timeout: float) -> Iterator[Session]:
    """Connect to the one configured host; everything is closed afterwards.

    Raises NotYet for whatever the driver or the server says, inside the block too. `timeout` (seconds) counts for
    the connection and for each query.
    """
    from cassandra import DriverException
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
    from cassandra.policies import ConstantReconnectionPolicy, FallthroughRetryPolicy, WhiteListRoundRobinPolicy

    _silence_driver()
    secure = {}
    if config.tls is not None:
        from propolis.stack.asking import tls

        secure = {"ssl_context": tls.context(config.tls), "ssl_options": {"server_hostname": config.host}}
    try:
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy([config.host]),
            retry_policy=FallthroughRetryPolicy(),
            request_timeout=timeout,
        )
        cluster = Cluster(
            [config.host],
            port=config.port,
            auth_provider=None if login is None else PlainTextAuthProvider(*login),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(5.0),
            protocol_version=4,  # spoken by every supported version; asking for it spares failed attempts
            compression=False,
            connect_timeout=timeout,
            control_connection_timeout=timeout,
            schema_metadata_enabled=False,
            token_metadata_enabled=False,
            idle_heartbeat_interval=0,
            **secure,
        )
    except OSError as error:
        raise NotYet(f"the name {config.host} can't be resolved ({error.strerror})") from None
    try:
        yield cluster.connect()
    except NoHostAvailable as error:
        _refuse_untrusted(config, error.errors.values())
        raise cause(error.errors.values(), login[0] if login else "") from None
    except (DriverException, OSError) as error:
        raise cause([error], login[0] if login else "") from None
    finally:
        cluster.shutdown()


def _refuse_untrusted(config: CassandraConfig, errors: Iterable[BaseException]) -> None:
    """Raise PreflightError for a certificate that isn't trusted: waiting doesn't change that."""
    for error in errors:
        told = _TLS_FAILURE.search(str(error))
        if told and told["reason"] == "CERTIFICATE_VERIFY_FAILED":
            raise PreflightError(
                f"{label(config)} shows a certificate that isn't trusted: {told['detail'].strip()}",
                left="No request was sent to it",
                next="Correct database.tls in propolis.yaml: ca is the authority that signed it; verify_host "
                "compares its names",
            ) from None


_TLS_FAILURE = re.compile(r"\[SSL: (?P<reason>\w+)\] (?:certificate verify failed: )?(?P<detail>[^(\]]+)")
"""How OpenSSL tells a failure; the driver wraps it into an error of another class, with its text."""


def _silence_driver() -> None:
    """Keep the driver's warnings (each refused connection is one) off the terminal: errors say what matters."""
    logger = logging.getLogger("cassandra")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def cause(errors: Iterable[BaseException], user: str) -> NotYet:
    """Say in a few words why no query was possible, for `user` (empty: without login)."""
    from cassandra import AuthenticationFailed, OperationTimedOut, Unauthorized, Unavailable

    for error in errors:
        if isinstance(error, AuthenticationFailed):
            if "Unable to perform authentication" in str(error):
                if "Cannot achieve consistency level" in str(error):
                    return OthersMissing("its roles can't be read while other nodes are down")
                return NotYet("its roles can't be read yet")
            return Refused("it refuses the login" + (f" of {user}" if user else ": it wants one"))
        if isinstance(error, Unauthorized):
            return Refused(f"the role {user} lacks a permission")
        if isinstance(error, Unavailable):
            return OthersMissing("not every replica answers")
        if isinstance(error, OperationTimedOut | TimeoutError):
            return NotYet("no answer in time")
        if told := _TLS_FAILURE.search(str(error)):
            return NotYet(f"no secure connection ({told['detail'].strip()})")
        if isinstance(error, OSError):
            return NotYet(f"no connection ({os.strerror(error.errno) if error.errno else 'closed'})")
        return NotYet(type(error).__name__)
    return NotYet("no connection")
