"""Rules of the index. Of one that TheHive keeps itself: whether it is there."""

from __future__ import annotations

from collections.abc import Iterator

from propolis.checks.look import Look
from propolis.checks.model import Check
from propolis.checks.services import kept_in_folder, supported
from propolis.stack.index import IndexFacts


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
        yield Check("index health", "warn", "yellow: replicas are missing", "Look at GET _cluster/health")
    else:
        message = f"{found.health}: shards are missing, so it would not come back after a stop"
        yield Check("index health", "fail", message, "Look at GET _cluster/health?level=indices")


def nodes(look: Look) -> Iterator[Check]:
    """Whether it is one node."""
    if (found := _facts(look)) is not None and found.nodes > 1:
        yield Check(
            "index nodes",
            "fail",
            f"the cluster has {found.nodes} nodes; one of them is not the whole index",
            "Clusters are not supported yet",
        )


def contents(look: Look) -> Iterator[Check]:
    """Whether it holds TheHive's indices: without them TheHive doesn't start again."""
    section = look.config.elasticsearch
    if section is None or (found := _facts(look)) is None:
        return
    if found.indices:
        counts = ", ".join(f"{name} ({count} documents)" for name, count in found.indices.items())
        yield Check("index contents", "ok", counts)
    else:
        yield Check(
            "index contents",
            "fail",
            f"no index begins with {section.prefix}",
            "Set index.prefix to index.search.index-name of application.conf",
        )


def _facts(look: Look) -> IndexFacts | None:
    if look.config.elasticsearch is None or not look.asks("index"):
        return None
    return look.index.known()
