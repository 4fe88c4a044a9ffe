"""Sessions with the lab's Cassandra."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import WhiteListRoundRobinPolicy
from cassandra.query import tuple_factory

PORT = 9042


class NotReady(Exception):
    """Nothing listens yet."""


@contextmanager
def session(
    address: str,
    user: str,
    password: str,
    timeout: float = 60,
    consistency: int = ConsistencyLevel.ONE,
) -> Iterator[Session]:
    """A logged-in session whose rows are tuples. Raises NotReady while nothing listens, NoHostAvailable otherwise."""
    try:
        # The driver takes long to fail, and logs a traceback: ask cheaply first.
        socket.create_connection((address, PORT), timeout=5).close()
    except OSError as error:
        raise NotReady(f"{address}:{PORT}: {error}") from error
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    profile = ExecutionProfile(
        request_timeout=timeout,
        load_balancing_policy=WhiteListRoundRobinPolicy([address]),
        consistency_level=consistency,
        row_factory=tuple_factory,
    )
    cluster = Cluster(
        [address],
        port=PORT,
        auth_provider=PlainTextAuthProvider(user, password),
        protocol_version=4,
        connect_timeout=30,
        control_connection_timeout=30,
        token_metadata_enabled=False,
        schema_metadata_enabled=False,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()
