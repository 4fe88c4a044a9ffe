"""Asking Elasticsearch or OpenSearch: does it answer, what does it hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from propolis.config import secrets
from propolis.config.schema import IndexServerConfig
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.asking.retry import Alive, NotYet, Refused, until
from propolis.stack.model import Facts


@dataclass(frozen=True)
class Membership:
    """A node's place in its cluster, by IDs: the cluster's, its own, those of all nodes. Empty: it wasn't asked."""

    cluster: str = ""
    node: str = ""
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IndexFacts(Facts):
    """What the index says of itself. `indices` maps each index of its user's prefix to its count of documents."""

    distribution: str
    """`elasticsearch` or `opensearch`."""
    version: str
    cluster_name: str
    health: str
    """`green`, `yellow` or `red`."""
    nodes: int
    indices: Mapping[str, int]
    membership: Membership = Membership()

    @property
    def release(self) -> str:
        """Product and version."""
        return f"{self.distribution} {self.version}"

    @property
    def member(self) -> Mapping[str, Any]:
        """Its place in its cluster, and what all nodes must have in common."""
        member = self.membership
        cluster = f"{self.cluster_name} ({member.cluster})"
        return {"cluster": cluster, "node": member.node, "nodes": list(member.nodes), "release": self.release}


def answers(
    config: IndexServerConfig,
    prefix: str,
    timeout: float,
    alive: Alive | None = None,
    login: secrets.Login | None = None,
) -> None:
    """Wait until the cluster is at least yellow and every index of the prefix has all its primaries.

    Of a node of a cluster, only that node is waited for: `agrees` asks the others. `login` is used instead of the
    configured one. Raises PreflightError when `timeout` seconds have passed, or the login has been refused for some
    seconds.
    """

    def ready(client: HttpClient) -> None:
        if config.nodes == 1:
            _is_ready(client, prefix)
            return
        # A node without a master serves what is about itself (HTTP opens 30 s after its start then:
        # discovery.initial_state_timeout). Its users lie in an index, which it can't read without the others.
        try:
            client.get("/_nodes/_local?filter_path=nodes.*.version")
        except HttpFailure as failure:
            if failure.status not in (401, 503):
                raise

    _until(ready, config, _name(config), timeout, alive, login)


def agrees(
    config: IndexServerConfig,
    prefix: str,
    timeout: float,
    alive: Alive | None = None,
    login: secrets.Login | None = None,
) -> None:
    """Wait until all nodes have joined, the cluster is at least yellow, and indices of the prefix have all primaries.

    Replicas are not waited for: they follow while TheHive serves. A master answers, of whatever node is asked, so
    each host that asks its own node proves that this one has joined. Raises PreflightError as `answers` does.
    """

    def ready(client: HttpClient) -> None:
        seen = int(_cluster_health(client, "")["number_of_nodes"])
        if seen != config.nodes:
            raise NotYet(f"{seen} of its {config.nodes} nodes have joined")
        _is_ready(client, prefix)

    _until(ready, config, f"The cluster of {_name(config)[:1].lower()}{_name(config)[1:]}", timeout, alive, login)


def _until(
    ready: Callable[[HttpClient], None],
    config: IndexServerConfig,
    what: str,
    timeout: float,
    alive: Alive | None,
    login: secrets.Login | None,
) -> None:
    """Wait until `ready` passes; it raises HttpFailure or NotYet."""
    login = login or secrets.login(config.username, config.password)

    def attempt(left: float) -> None:
        with HttpClient(config.url, login=login, tls=config.tls, timeout=min(left, 30.0)) as client:
            try:
                ready(client)
            except HttpFailure as failure:
                if failure.status == 403:
                    raise failure.as_preflight(_name(config)) from None
                raise (Refused if failure.status == 401 else NotYet)(str(failure)) from None

    until(attempt, what, timeout, alive)


def facts(config: IndexServerConfig, prefix: str) -> IndexFacts:
    """Ask for make, version, health and the indices of the prefix. Raises PreflightError if it doesn't answer."""
    with HttpClient(
        config.url, login=secrets.login(config.username, config.password), tls=config.tls, timeout=30.0
    ) as client:
        try:
            distribution, version = _version(client)
            health = _cluster_health(client, "")
            counts = _counts(client, prefix)
            member = _membership(client) if config.nodes > 1 else Membership()
        except HttpFailure as failure:
            raise failure.as_preflight(_name(config)) from None
    return IndexFacts(
        distribution=distribution,
        version=version,
        cluster_name=str(health["cluster_name"]),
        health=str(health["status"]),
        nodes=int(health["number_of_nodes"]),
        indices=counts,
        membership=member,
    )


def documents(config: IndexServerConfig, prefix: str, login: secrets.Login | None = None) -> dict[str, int]:
    """Count the documents of each index of the prefix, exactly, by the index's name.

    Only those: others, such as those that the cluster keeps for itself, change while TheHive is stopped. What
    was written but isn't searchable yet is made so first. `login` is used instead of the configured one.
    Raises PreflightError if a shard doesn't answer.
    """
    login = login or secrets.login(config.username, config.password)
    with HttpClient(config.url, login=login, tls=config.tls, timeout=60.0) as client:
        try:
            client.request("POST", f"/{_patterns(prefix)}/_refresh?ignore_unavailable=true&allow_no_indices=true")
            return {name: _count(client, name) for name in _counts(client, prefix)}
        except HttpFailure as failure:
            raise failure.as_preflight(_name(config)) from None


def _name(config: IndexServerConfig) -> str:
    return f"The index at {config.url}"


def _patterns(prefix: str) -> str:
    """Name the indices and data streams of a prefix: never one fixed name (a rebuild makes `…_global1`)."""
    return quote(f"{prefix.lower()}_*,{prefix.lower()}-*", safe=",*")


def _is_ready(client: HttpClient, prefix: str) -> None:
    """Raise NotYet unless cluster and indices can serve."""
    health = _cluster_health(client, "")
    if health["status"] not in ("green", "yellow"):
        raise NotYet(f"the cluster's health is {health['status']}")
    indices = _cluster_health(client, f"/{_patterns(prefix)}?level=indices").get("indices", {})
    red = sorted(name for name, index in indices.items() if index["status"] not in ("green", "yellow"))
    if red:
        raise NotYet(f"{', '.join(red)} lacks primary shards")
    _count(client, f"{_patterns(prefix)}", "?ignore_unavailable=true&allow_no_indices=true")


def _version(client: HttpClient) -> tuple[str, str]:
    """Give make and version.

    The version comes from the node itself: `GET /` is missing in some builds, and OpenSearch 1 and 2 say 7.10.2
    there while `compatibility.override_main_response_version` is set.
    """
    headers, body = client.request("GET", "/_nodes/_local?filter_path=nodes.*.version")
    versions = [str(node["version"]) for node in _object(body).get("nodes", {}).values()]
    if len(versions) != 1:
        raise HttpFailure("it does not report its version")
    if "x-elastic-product" in headers:  # sent by Elasticsearch from 7.14 on
        return "elasticsearch", versions[0]
    root = _object(client.get("/"))
    opensearch = root.get("version", {}).get("distribution") == "opensearch" or "OpenSearch" in str(
        root.get("tagline")
    )
    return ("opensearch" if opensearch else "elasticsearch"), versions[0]


def _membership(client: HttpClient) -> Membership:
    local = _object(client.get("/_nodes/_local?filter_path=nodes.*.name")).get("nodes", {})
    state = _object(client.get("/_cluster/state/nodes?filter_path=cluster_uuid,nodes.*.name"))
    if len(local) != 1 or "cluster_uuid" not in state:
        raise HttpFailure("it does not report its cluster")
    return Membership(str(state["cluster_uuid"]), next(iter(local)), tuple(sorted(state.get("nodes", {}))))


def _cluster_health(client: HttpClient, target: str) -> dict[str, Any]:
    health = _object(client.get(f"/_cluster/health{target}"))
    if "status" not in health:
        raise HttpFailure("it does not report its health")
    return health


def _count(client: HttpClient, target: str, options: str = "") -> int:
    """Count by searching: proof that every shard answers."""
    answer = _object(client.get(f"/{target}/_count{options}"))
    if answer.get("_shards", {}).get("failed", 1) != 0:
        raise HttpFailure("not every shard answers a count")
    return int(answer["count"])


def _counts(client: HttpClient, prefix: str) -> dict[str, int]:
    stats = _object(client.get(f"/{_patterns(prefix)}/_stats/docs?expand_wildcards=open,hidden"))
    return {
        name: int(index["primaries"].get("docs", {}).get("count", 0))
        for name, index in sorted(stats.get("indices", {}).items())
    }


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise HttpFailure("its answer is not a JSON object")
    return body
