"""Asking Elasticsearch or OpenSearch: does it answer, what does it hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from propolis.config import secrets
from propolis.config.schema import IndexServerConfig
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.asking.retry import Alive, NotYet, Refused, until
from propolis.stack.model import Facts


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

    @property
    def release(self) -> str:
        """Product and version."""
        return f"{self.distribution} {self.version}"


def answers(
    config: IndexServerConfig,
    prefix: str,
    timeout: float,
    alive: Alive | None = None,
    login: secrets.Login | None = None,
) -> None:
    """Wait until the cluster is at least yellow and every index of the prefix has all its primaries.

    `login` is used instead of the configured one. Raises PreflightError when `timeout` seconds have passed, or the
    login has been refused for some seconds.
    """
    login = login or secrets.login(config.username, config.password)

    def attempt(left: float) -> None:
        with HttpClient(config.url, login=login, tls=config.tls, timeout=min(left, 30.0)) as client:
            try:
                _is_ready(client, prefix)
            except HttpFailure as failure:
                if failure.status == 403:
                    raise failure.as_preflight(_name(config)) from None
                raise (Refused if failure.status == 401 else NotYet)(str(failure)) from None

    until(attempt, _name(config), timeout, alive)


def facts(config: IndexServerConfig, prefix: str) -> IndexFacts:
    """Ask for make, version, health and the indices of the prefix. Raises PreflightError if it doesn't answer."""
    with HttpClient(
        config.url, login=secrets.login(config.username, config.password), tls=config.tls, timeout=30.0
    ) as client:
        try:
            distribution, version = _version(client)
            health = _cluster_health(client, "")
            counts = _counts(client, prefix)
        except HttpFailure as failure:
            raise failure.as_preflight(_name(config)) from None
    return IndexFacts(
        distribution=distribution,
        version=version,
        cluster_name=str(health["cluster_name"]),
        health=str(health["status"]),
        nodes=int(health["number_of_nodes"]),
        indices=counts,
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
