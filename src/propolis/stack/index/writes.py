"""Whether the index takes writes: Elasticsearch and OpenSearch block an index when their disk is nearly full.

From 7.4 on the server lifts that block itself once there is room again, but only where its disk thresholds are
on; and it comes with the data of a backup that was taken meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from propolis.config import secrets
from propolis.config.schema import IndexServerConfig
from propolis.stack.asking.http import HttpClient, HttpFailure

FLOOD = "read_only_allow_delete"
"""The block that the server sets by itself, when a disk passes its flood stage."""

INDEX_BLOCKS = (FLOOD, "read_only", "write", "metadata")
_CLUSTER_BLOCKS = (FLOOD, "read_only")
_HIGH = "cluster.routing.allocation.disk.watermark.high"
_UNITS = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40, "pb": 2**50}


@dataclass(frozen=True)
class Room:
    """What the server's disk has, and how much must be free for it not to be called full (the high watermark)."""

    free: int
    needed: int

    @property
    def enough(self) -> bool:
        """Whether it isn't called full."""
        return self.free > self.needed


def cluster_blocks(config: IndexServerConfig, login: secrets.Login | None = None) -> tuple[str, ...]:
    """Which blocks of writes are set for the whole cluster. Raises PreflightError if it doesn't answer."""
    with _client(config, login) as client:
        try:
            settings = _object(client.get("/_cluster/settings?flat_settings=true"))
        except HttpFailure as failure:
            raise failure.as_preflight(f"The index at {config.url}") from None
    given = {**_section(settings, "persistent"), **_section(settings, "transient")}
    return tuple(block for block in _CLUSTER_BLOCKS if is_set(given.get(f"cluster.blocks.{block}")))


def room(config: IndexServerConfig, login: secrets.Login | None = None) -> Room:
    """Ask how full the server's disk is to it; of a cluster, the fullest one. Raises PreflightError.

    `login` is used instead of the configured one.
    """
    nodes = "_local" if config.nodes == 1 else "_all"
    with _client(config, login) as client:
        try:
            stats = _object(client.get(f"/_nodes/{nodes}/stats/fs?filter_path=nodes.*.fs.total"))
            settings = _object(client.get("/_cluster/settings?flat_settings=true&include_defaults=true"))
        except HttpFailure as failure:
            raise failure.as_preflight(f"The index at {config.url}") from None
    given: dict[str, Any] = {}
    for kind in ("defaults", "persistent", "transient"):
        given |= _section(settings, kind)
    disks = [_section(_section(node, "fs"), "total") for node in _section(stats, "nodes").values()]
    return min((_room(disk, given) for disk in disks or [{}]), key=lambda room: room.free - room.needed)


def _room(disk: Mapping[str, Any], given: Mapping[str, Any]) -> Room:
    size, free = int(disk.get("total_in_bytes", 0)), int(disk.get("available_in_bytes", 0))
    most = bytes_of(str(given.get(f"{_HIGH}.max_headroom", "")))
    return Room(free, min(free_at(str(given.get(_HIGH, "90%")), size), most if most is not None else size))


def lift(config: IndexServerConfig, names: Iterable[str], login: secrets.Login | None = None) -> None:
    """Lift the block that the server set by itself from some indices. Raises PreflightError."""
    with _client(config, login) as client:
        for name in names:
            try:
                client.request("PUT", f"/{quote(name, safe='')}/_settings", {f"index.blocks.{FLOOD}": None})
            except HttpFailure as failure:
                raise failure.as_preflight(f"The index {name} at {config.url}") from None


def is_set(value: Any) -> bool:
    """Whether a setting that is true or false is true."""
    return str(value).lower() == "true"


def free_at(watermark: str, size: int) -> int:
    """Bytes that are free when a disk of `size` bytes reaches a watermark: `90%` or `0.9` used, or `10gb` free."""
    bytes_free = bytes_of(watermark)
    if bytes_free is not None:
        return bytes_free
    number = re.fullmatch(r"([0-9.]+)(%?)", watermark.strip())
    try:
        used = float(number[1]) / (100 if number[2] else 1) if number else 0.9
    except ValueError:
        used = 0.9
    return int(size * max(1 - used, 0))


def bytes_of(text: str) -> int | None:
    """Read a size with a unit, such as `10gb`; None for anything else."""
    found = re.fullmatch(r"([0-9.]+)\s*([kmgtp]?b)", text.strip().lower())
    try:
        return int(float(found[1]) * _UNITS[found[2]]) if found else None
    except ValueError:
        return None


def _client(config: IndexServerConfig, login: secrets.Login | None) -> HttpClient:
    login = login or secrets.login(config.username, config.password)
    return HttpClient(config.url, login=login, tls=config.tls, timeout=30.0)


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise HttpFailure("its answer is not a JSON object")
    return body


def _section(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name, {})
    return found if isinstance(found, dict) else {}
