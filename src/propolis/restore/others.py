"""What a restore would take away from others: it replaces whole data folders, and with them what isn't TheHive's.

Indices and keyspaces of others that were made since the backup, or written to since, are replaced only when named.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from propolis.checks import Check
from propolis.config.schema import CassandraConfig
from propolis.errors import PreflightError
from propolis.repository import Manifest
from propolis.stack.database import keyspaces
from propolis.stack.database import server as database
from propolis.stack.index import contents
from propolis.stack.index.contents import IndexInfo
from propolis.stack.index.service import Index
from propolis.stack.model import bare, on_host

Kind = Literal["index", "keyspace"]


@dataclass(frozen=True)
class Loss:
    """An index or a keyspace as it is here, that the restore would replace by an older state or by none."""

    kind: Kind
    names: tuple[str, ...]
    """By each of which it can be named; the first is for people."""
    why: str
    thehives: bool = False
    """It is TheHive's or the server's own, which a restore is to replace."""


def checks(losses: Collection[Loss], replace: Mapping[Kind, Collection[str]]) -> Iterator[Check]:
    """Say of each loss whether it is meant: TheHive's own, and what is named in `replace`. Anything else fails."""
    for loss in losses:
        name = f"{loss.kind} {loss.names[0]}"
        option = f"--replace-{name}"
        if loss.thehives:
            yield Check(name, "warn", f"it {loss.why}; the restore replaces it")
        elif any(given in loss.names for given in replace[loss.kind]):
            yield Check(name, "warn", f"it {loss.why}; the restore replaces it, as you asked with {option}")
        else:
            message = f"it isn't TheHive's and {loss.why}: the restore would remove it"
            yield Check(name, "fail", message, f"Save what you need of it, then add {option}")


def index_losses(index: Index, manifest: Manifest, *, running: bool) -> tuple[list[Loss], str]:
    """What the restore would take of the index's data folder, and why the server could not be asked (or nothing).

    Without an answer, indices are told by their folders: by the name in their state, else by their UUID.
    """
    here = contents.folders(index.section.data)
    listed: dict[str, IndexInfo] = {}
    unasked = "" if running or not here else "it is not running"
    if running:
        try:
            listed = {info.uuid: info for info in contents.indices(index.section)}
        except PreflightError as error:
            unasked = error.what
    backed_up = {str(fact.get("uuid")): fact for fact in _indices(index, manifest)}
    files = _index_files(manifest, index.data)
    found = []
    for uuid in sorted({*here, *listed}):
        info, fact = listed.get(uuid), backed_up.get(uuid)
        name = info.name if info is not None else contents.name_on_disk(here[uuid])
        new, why = uuid not in files and fact is None, ""
        if new:
            why = "is not in the backup" + (f" ({info.documents} documents)" if info is not None else "")
        elif info is not None and fact is not None:
            if info.operations > _number(fact, "operations"):
                why = f"was written to since the backup ({info.documents} documents, {fact.get('documents')} then)"
        elif uuid in here and not _segments(here[uuid]) <= files.get(uuid, set()):
            why = "was written to since the backup"
        owner = index.owner_of(name) if name else "other"
        # TheHive and the server write to their own all the time: only what the backup hasn't at all is worth a word.
        if why and (owner == "other" or new):
            names = (name, uuid) if name else (uuid,)
            found.append(Loss("index", names, why, thehives=owner != "other"))
    return found, unasked


def keyspace_losses(
    config: CassandraConfig, manifest: Manifest, host: str | None = None, *, running: bool, drained: bool = False
) -> tuple[list[Loss], str]:
    """What the restore would take of Cassandra's data folders, and why it could not be asked (or nothing).

    `drained`: it was stopped just now, so that all that it held is in SSTables, and what isn't was dropped before.
    """
    here = keyspaces.live_parts(config.data)
    if drained:
        here = {name: set(filter(keyspaces.is_sstable, parts)) for name, parts in here.items()}
        here = {name: parts for name, parts in here.items() if parts}
    written: dict[str, int] = {}
    unasked = "" if running or not here else "it is not running"
    if running:
        try:
            written = database.writes(config)
            # Dropped keyspaces leave their folders behind.
            present = database.facts(config).keyspaces
            here = {name: here.get(name, set()) for name in present}
        except PreflightError as error:
            unasked = error.what
    backed_up = _keyspace_parts(manifest, on_host("database/data-", host))
    found = []
    for name, parts in sorted(here.items()):
        if keyspaces.is_servers(name):
            continue
        why = ""
        if name not in backed_up and name not in manifest.header.facts.get("keyspaces", []):
            why = "is not in the backup"
        elif not parts <= backed_up.get(name, set()) or written.get(name, 0):
            why = "was written to since the backup"
        own = name == config.keyspace
        # TheHive's own was written to since, of course: that is why somebody restores.
        if why and not (own and name in backed_up):
            found.append(Loss("keyspace", (name,), why, thehives=own))
    return found, unasked


@functools.lru_cache(maxsize=1)
def _index_files(manifest: Manifest, tree: str) -> dict[str, set[str]]:
    """The backup's segment files, as index/UUID-relative paths, by the index's UUID.

    Of a cluster, those of all nodes: what is on one of them now may have been on another.
    """
    found: dict[str, set[str]] = {}
    nodes = (one.name for one in manifest.header.trees if bare(one.name) == tree)
    for entry in chain.from_iterable(map(manifest.entries, nodes)):
        path = entry.path.decode("utf-8", "replace")
        uuid = contents.uuid_of(path)
        if uuid is not None:
            inside = found.setdefault(uuid, set())
            if path.endswith(".si"):
                inside.add(path.partition(f"/{uuid}/")[2])
    return found


def _segments(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("*/index/*.si")}


@functools.lru_cache(maxsize=1)
def _keyspace_parts(manifest: Manifest, trees: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for tree in manifest.header.trees:
        if tree.name.startswith(trees):
            for entry in manifest.entries(tree.name):
                part = keyspaces.live_part(entry.path.decode("utf-8", "replace"))
                if part is not None:
                    found.setdefault(part.partition("/")[0], set()).add(part)
    return found


def _indices(index: Index, manifest: Manifest) -> list[dict[str, Any]]:
    found = index.counted(manifest.header.facts).get("indices", [])
    return [fact for fact in found if isinstance(fact, dict)] if isinstance(found, list) else []


def _number(fact: dict[str, Any], name: str) -> int:
    value = fact.get(name)
    return value if isinstance(value, int) else 0
