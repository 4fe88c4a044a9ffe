"""Rules of the index. Of one that TheHive keeps itself: whether it is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from propolis.checks.look import Look
from propolis.checks.model import Check
from propolis.checks.services import kept_in_folder, supported
from propolis.stack.index.contents import IndexInfo, folders, owner_of
from propolis.stack.index.server import IndexFacts
from propolis.stack.index.writes import FLOOD

_WRITES = "index writes"
_GRAPH = re.compile(r"_global[0-9]*$")
"""The name of the index that JanusGraph searches: the one that TheHive can't do without."""


def answers(look: Look) -> Iterator[Check]:
    """Whether it answers for real; the other rules say nothing of one that doesn't."""
    section = look.config.elasticsearch
    if section is None:
        yield kept_in_folder(look.config, "index")
        return
    if look.asks("index"):
        look.wait("index")
        look.index.get()
        yield Check("index", "ok", f"answers at {section.url}")


def version(look: Look) -> Iterator[Check]:
    """Whether its version is supported."""
    if (found := _facts(look)) is not None:
        yield supported("index version", found.distribution, found.version)


def health(look: Look) -> Iterator[Check]:
    """Whether it has all its shards."""
    if (found := _facts(look)) is None:
        return
    if found.health == "green" or (found.health == "yellow" and found.nodes == 1):
        # One node has no place for replicas: yellow is all that it can be.
        yield Check("index health", "ok", found.health)
    elif found.health == "yellow":
        yield Check("index health", "warn", "yellow: replicas are missing", "Check GET _cluster/health")
    else:
        message = f"{found.health}: shards are missing, so it would not be healthy again after a restart"
        yield Check("index health", "fail", message, "Check GET _cluster/health?level=indices")


def nodes(look: Look) -> Iterator[Check]:
    """Whether it is one node."""
    if (found := _facts(look)) is not None and found.nodes > 1:
        yield Check(
            "index nodes",
            "fail",
            f"the cluster has {found.nodes} nodes; a single one doesn't hold the whole index",
            "Clusters are not supported yet",
        )


def contents(look: Look) -> Iterator[Check]:
    """Whether it holds TheHive's indices, open: without them TheHive doesn't start again."""
    section = look.config.elasticsearch
    if section is None or (found := _facts(look)) is None:
        return
    closed = [info.name for info in look.indices.known() or () if not info.open and _is_own(look, info)]
    reopen = f"Open {'it' if len(closed) == 1 else 'them'}: POST /{','.join(closed)}/_open"
    if not found.indices:
        message = f"there is no open index whose name begins with {section.prefix}" + (
            f", closed: {', '.join(closed)}" if closed else ""
        )
        hint = reopen if closed else "Set index.prefix to the value of index.search.index-name in application.conf"
        yield Check("index contents", "fail", message, hint)
        return
    counts = ", ".join(f"{name} ({count} documents)" for name, count in found.indices.items())
    yield Check("index contents", "ok", counts)
    for name in closed:
        if _GRAPH.search(name) and not any(_same_but_rebuilt(name, other) for other in found.indices):
            yield Check("index contents", "fail", f"{name} is closed: TheHive does not start without it", reopen)
        else:
            yield Check("index contents", "warn", f"{name} is closed: it is backed up closed")


def all_indices(look: Look) -> Iterator[Check]:
    """Whether every index on the disk can be seen, whoever's it is: a restore has to find each again."""
    section = look.config.elasticsearch
    if section is None or _facts(look) is None:
        return
    seen = {info.uuid for info in look.indices.get()}
    unseen = len(folders(section.data).keys() - seen)
    if unseen:
        message = f"{unseen} indices on the disk are hidden from Propolis: they are copied, but not counted"
        yield Check(
            "indices",
            "warn",
            message,
            "Give the user index.username of propolis.yaml the privilege to see them (monitor)",
        )
    else:
        yield Check("indices", "ok", f"all {len(seen)} on the disk are visible to Propolis")


def writes(look: Look) -> Iterator[Check]:
    """Whether it takes TheHive's writes: a full disk, or somebody, may have blocked them."""
    if _facts(look) is None:
        return
    blocked = False
    for block in look.index_blocks.get():
        blocked = True
        hint = f"PUT /_cluster/settings with cluster.blocks.{block}: null, both persistent and transient"
        yield Check(_WRITES, "fail", f"the whole index takes no writes (cluster.blocks.{block})", hint)
    for info in look.indices.get():
        own = _is_own(look, info)
        for block in info.blocks:
            if not info.open or not (own or block == FLOOD):
                continue
            blocked = True
            message = f"{info.name} takes no writes (index.blocks.{block})"
            hint = "Free some space on its disk; then " if block == FLOOD else ""
            hint += f"PUT /{info.name}/_settings with index.blocks.{block}: null"
            yield Check(_WRITES, "fail" if own else "warn", message, hint)
    if not blocked:
        yield Check(_WRITES, "ok", "nothing blocks writes")


def _is_own(look: Look, info: IndexInfo) -> bool:
    section = look.config.elasticsearch
    assert section is not None
    return owner_of(info.name, section.prefix, section.audit) == "thehive"


def _same_but_rebuilt(name: str, other: str) -> bool:
    """Whether two names are of one index: a rebuild makes `…_global1` of `…_global`."""
    return name.rstrip("0123456789") == other.rstrip("0123456789")


def _facts(look: Look) -> IndexFacts | None:
    if look.config.elasticsearch is None or not look.asks("index"):
        return None
    return look.index.known()
