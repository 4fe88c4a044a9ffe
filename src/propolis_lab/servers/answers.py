"""Whether a server really answers; an open port is not enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from http.client import HTTPException

from cassandra import ConsistencyLevel, OperationTimedOut, RequestExecutionException
from cassandra.cluster import NoHostAvailable
from cassandra.query import SimpleStatement

from propolis_lab import http
from propolis_lab.errors import LabError
from propolis_lab.servers import cql

_PAUSE = 0.1
_NOT_YET = (
    *(OSError, HTTPException, ValueError),
    *(NoHostAvailable, RequestExecutionException, OperationTimedOut, cql.NotReady),
)


def until(
    condition: Callable[[], bool], what: str, timeout: float = 300, alive: Callable[[], bool] | None = None
) -> None:
    """Try until the condition holds. Raises LabError on time-out, or as soon as `alive` says it can't any more."""
    deadline = time.monotonic() + timeout
    last: Exception | None = None
    while True:
        try:
            if condition():
                return
        except _NOT_YET as error:
            last = error
        if alive is not None and not alive():
            raise LabError(f"{what} ended instead of answering")
        if time.monotonic() > deadline:
            raise LabError(f"{what} does not answer after {timeout:g} s" + (f": {last}" if last else ""))
        time.sleep(_PAUSE)


def database(address: str, user: str, password: str) -> bool:
    """Whether Cassandra takes a login and a query."""
    with cql.session(address, user, password) as session:
        return session.execute("SELECT release_version FROM system.local").one() is not None


def database_cluster(addresses: Sequence[str], user: str, password: str) -> bool:
    """Whether each of these nodes takes a login, knows just the others, has their schema, and reads from them all.

    Open ports are no proof: what is created before all know each other splits the schema.
    """
    schemas = set()
    for address in addresses:
        with cql.session(address, user, password) as session:
            schemas.add(session.execute("SELECT schema_version FROM system.local").one()[0])
            peers = {}
            for peer, schema in session.execute("SELECT peer, schema_version FROM system.peers"):
                peers[peer] = schema
            schemas |= set(peers.values())
            if set(peers) != set(addresses) - {address}:
                raise cql.NotReady(f"{address} knows {', '.join(sorted(peers)) or 'no other node'}")
            statement = SimpleStatement(
                "SELECT * FROM system_distributed.view_build_status", consistency_level=ConsistencyLevel.ALL
            )
            session.execute(statement).all()
    if len(schemas) != 1:
        raise cql.NotReady(f"the nodes have {len(schemas)} schemas")
    return True


def index_cluster(urls: Sequence[str]) -> bool:
    """Whether each of these nodes sees all of them, with every replica in place."""
    question = f"_cluster/health?wait_for_status=green&wait_for_nodes={len(urls)}&timeout=2s"
    for url in urls:
        answer = http.request("GET", f"{url}/{question}", timeout=10)
        if answer.status != 200 or answer.json()["timed_out"]:
            return False
    return True


def index(url: str) -> bool:
    """Whether the index's cluster is healthy (a single node is yellow at best once there are replicas)."""
    answer = http.request("GET", f"{url}/_cluster/health?wait_for_status=yellow&timeout=2s", timeout=10)
    return answer.status == 200 and answer.json()["status"] in ("yellow", "green")


def thehive(url: str) -> bool:
    """Whether TheHive says that its graph and its index answer: only the body tells."""
    answer = http.request("GET", f"{url}/api/health", timeout=30)
    return answer.status == 200 and answer.text == "Ok"


def cortex(url: str, api_key: str) -> bool:
    """Whether Cortex lets a user in: that needs its index, its status doesn't."""
    answer = http.request(
        "GET", f"{url}/api/user/current", headers={"Authorization": f"Bearer {api_key}"}, timeout=30
    )
    return answer.status == 200


def listens(url: str) -> bool:
    """Whether a server says 200."""
    return http.request("GET", url, timeout=5).status == 200
