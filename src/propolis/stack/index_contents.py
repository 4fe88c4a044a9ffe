"""Which indices a server holds, whoever they belong to: by asking it, and by its folders while it doesn't run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from propolis.config import secrets
from propolis.config.schema import ElasticsearchConfig
from propolis.stack.http import HttpClient, HttpFailure

Owner = Literal["thehive", "server", "other"]


@dataclass(frozen=True)
class IndexInfo:
    """One index, open or closed."""

    name: str
    uuid: str
    """Made anew whenever an index of the name is created; the name of its folder."""
    created: int
    """When it was created: milliseconds since 1970, by the server's clock; 0 where it doesn't tell."""
    documents: int
    operations: int
    """Writes and deletions so far. It only grows, and tells what a count of documents doesn't: that some changed."""

    def as_fact(self) -> dict[str, Any]:
        """What a backup's manifest keeps of it."""
        return {
            "name": self.name,
            "uuid": self.uuid,
            "created": self.created,
            "documents": self.documents,
            "operations": self.operations,
        }


def owner_of(name: str, prefix: str) -> Owner:
    """Say whose an index is: TheHive's by its prefix, the server's own, or somebody else's.

    Names that begin with a dot are reserved for the server and its parts; OpenSearch keeps its slowest queries in
    `top_queries-…`.
    """
    if name.startswith((f"{prefix.lower()}_", f"{prefix.lower()}-")):
        return "thehive"
    return "server" if name.startswith((".", "top_queries-")) else "other"


def indices(config: ElasticsearchConfig, login: secrets.Login | None = None) -> list[IndexInfo]:
    """List every index that the login may see, by name: open, closed, hidden. `login` instead of the configured one.

    Raises PreflightError if the server doesn't answer.
    """
    login = login or secrets.login(config.username, config.password)
    with HttpClient(config.url, login=login, tls=config.tls, timeout=60.0) as client:
        try:
            stats = _indices(client.get(f"/_stats/docs?level=shards&forbid_closed_indices=false&{_ALL}"), "indices")
            settings = _indices(client.get(f"/_settings/index.uuid,index.creation_date?flat_settings=true&{_ALL}"))
        except HttpFailure as failure:
            raise failure.as_preflight(f"The index at {config.url}") from None
    found = []
    for name, index in sorted(settings.items()):
        told = index.get("settings", {})
        stat = stats.get(name, {})
        shards = [copy for copies in stat.get("shards", {}).values() for copy in copies]
        last = [copy["seq_no"]["max_seq_no"] for copy in shards if copy.get("routing", {}).get("primary")]
        documents = int(stat.get("primaries", {}).get("docs", {}).get("count", 0))
        created = int(told.get("index.creation_date", 0))
        operations = sum(int(number) + 1 for number in last)  # numbers begin with 0; -1: none yet
        found.append(IndexInfo(name, str(told.get("index.uuid", "")), created, documents, operations))
    return found


def folders(data: Path) -> dict[str, Path]:
    """Every index's folder below a node's data folder, by the index's UUID; empty where there is no data."""
    found: dict[str, Path] = {}
    for pattern in ("indices/*", "nodes/*/indices/*"):
        found |= {path.name: path for path in data.glob(pattern) if path.is_dir()}
    return found


def uuid_of(path: str) -> str | None:
    """The UUID of the index that a file below a node's data folder belongs to ("indices/UUID/0/index/_0.si")."""
    parts = path.split("/")
    if "indices" not in parts[:3]:
        return None
    after = parts[parts.index("indices") + 1 :]
    return after[0] if after else None


_ALL = "expand_wildcards=all"


def _indices(body: Any, key: str = "") -> Mapping[str, Any]:
    found = body.get(key, {}) if key and isinstance(body, dict) else body
    if not isinstance(found, dict):
        raise HttpFailure("it answered with something else than a JSON object")
    return found
