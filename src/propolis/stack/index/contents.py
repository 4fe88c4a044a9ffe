"""Which indices a server holds, whoever they belong to: by asking it, and by its folders while it doesn't run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from propolis.config import secrets
from propolis.config.schema import IndexServerConfig
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.index.writes import INDEX_BLOCKS, is_set

Owner = Literal["stack", "server", "other"]


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
    open: bool = True
    health: str = ""
    """`green`, `yellow` or `red`."""
    managed: bool = False
    """A policy of the server may delete it at any time, as it does with old logs."""
    blocks: tuple[str, ...] = ()
    """Which writes it refuses, as its settings `index.blocks.…` say."""

    def as_fact(self) -> dict[str, Any]:
        """What a backup's manifest keeps of it."""
        return {
            "name": self.name,
            "uuid": self.uuid,
            "created": self.created,
            "documents": self.documents,
            "operations": self.operations,
            "open": self.open,
            "managed": self.managed,
        }


def owner_of(name: str, prefix: str, audit: str | None = None, guest: str | None = None) -> Owner:
    """Say whose an index is: this stack's, the server's own, or somebody else's.

    The stack's begin with `prefix`, or with that of a `guest`, or are TheHive's `audit` log.

    Names that begin with a dot are reserved for the server and its parts; OpenSearch keeps its slowest queries in
    `top_queries-…`. What belongs to a data stream of the stack's is the stack's.
    """
    own = name.removeprefix(".ds-")
    beginnings = [one.lower() for one in (prefix, audit, guest) if one is not None]
    if any(own.startswith((f"{one}_", f"{one}-")) for one in beginnings):
        return "stack"
    if audit is not None and own == audit.lower():
        return "stack"
    return "server" if name.startswith((".", "top_queries-")) else "other"


def indices(
    config: IndexServerConfig, login: secrets.Login | None = None, *, refresh: bool = False
) -> list[IndexInfo]:
    """List every index that the login may see, by name: open, closed, hidden. `login` instead of the configured one.

    `refresh`: count also documents that were just written and can't be searched yet.

    Raises PreflightError if the server doesn't answer.
    """
    login = login or secrets.login(config.username, config.password)
    with HttpClient(config.url, login=login, tls=config.tls, timeout=60.0) as client:
        try:
            if refresh:
                client.request("POST", "/_refresh?expand_wildcards=open,hidden")
            stats = _indices(client.get(f"/_stats/docs?level=shards&forbid_closed_indices=false&{_ALL}"), "indices")
            settings = _indices(client.get(f"/_settings/{_SETTINGS}?flat_settings=true&{_ALL}"))
            states = _states(client.get(f"/_cat/indices?format=json&h=index,status,health&{_ALL}"))
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
        status, health = states.get(name, ("open", ""))
        found.append(
            IndexInfo(
                name,
                str(told.get("index.uuid", "")),
                created,
                documents,
                operations,
                open=status != "close",
                health=health,
                managed=name.startswith(_DELETED_IN_TIME) or any(told.get(key) for key in _POLICIES),
                blocks=tuple(block for block in INDEX_BLOCKS if is_set(told.get(f"index.blocks.{block}"))),
            )
        )
    return found


def folders(data: Path) -> dict[str, Path]:
    """Every index's folder below a node's data folder, by the index's UUID; empty where there is no data."""
    found: dict[str, Path] = {}
    for pattern in ("indices/*", "nodes/*/indices/*"):
        found |= {path.name: path for path in data.glob(pattern) if path.is_dir()}
    return found


def name_on_disk(folder: Path) -> str:
    """The name of the index in a folder, for a server that doesn't run; empty where it can't be read.

    It is the first key of the index's own state file, which is SMILE (a binary JSON) after a short header.
    """
    states = [path for path in folder.glob("_state/state-*.st") if path.stem.removeprefix("state-").isdigit()]
    for path in sorted(states, key=lambda path: int(path.stem.removeprefix("state-")), reverse=True):
        try:
            with path.open("rb") as file:
                beginning = file.read(_BEGINNING)
        except OSError:
            continue
        name = _first_key(beginning)
        if name:
            return name
    return ""


def _first_key(beginning: bytes) -> str:
    _, _, after = beginning.partition(_SMILE)  # then come a byte of flags, and the beginning of an object
    token = after[2] if len(after) > 2 and after[1] == _OBJECT else 0
    if 0x80 <= token < 0xC0:  # a short name in ASCII
        name = after[3 : 3 + token - 0x7F]
    elif 0xC0 <= token < 0xF8:  # a short name in UTF-8
        name = after[3 : 3 + token - 0xBE]
    elif token == _LONG_NAME:
        name = after[3:].partition(_END_OF_NAME)[0]
    else:
        return ""
    return name.decode("utf-8", "replace")


_BEGINNING = 4096
_SMILE, _OBJECT, _LONG_NAME, _END_OF_NAME = b":)\n", 0xFA, 0x34, b"\xfc"


def uuid_of(path: str) -> str | None:
    """The UUID of the index that a file below a node's data folder belongs to ("indices/UUID/0/index/_0.si")."""
    parts = path.split("/")
    if "indices" not in parts[:3]:
        return None
    after = parts[parts.index("indices") + 1 :]
    return after[0] if after else None


_ALL = "expand_wildcards=all"
_POLICIES = ("index.lifecycle.name", "index.plugins.index_state_management.policy_id")
_DELETED_IN_TIME = (".monitoring-", ".watcher-history-", ".geoip_databases")
"""Indices that the server deletes without a policy: by their age, or when it starts with what they are for off."""

_SETTINGS = ",".join(("index.uuid", "index.creation_date", "index.blocks.*", *_POLICIES))


def _states(rows: Any) -> Mapping[str, tuple[str, str]]:
    if not isinstance(rows, list):
        raise HttpFailure("its answer is not a JSON list")
    return {str(row["index"]): (str(row.get("status") or "open"), str(row.get("health") or "")) for row in rows}


def _indices(body: Any, key: str = "") -> Mapping[str, Any]:
    found = body.get(key, {}) if key and isinstance(body, dict) else body
    if not isinstance(found, dict):
        raise HttpFailure("its answer is not a JSON object")
    return found
