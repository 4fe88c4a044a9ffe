"""What a restored index has to show: every index that the backup holds, open or closed, whoever's it is.

- TheHive's own: as many documents as were counted while it was stopped; nothing else writes there.
- Others', such as Cortex's, and the server's own (`.security`, `.kibana`): their services went on writing until the
  server stopped, and may write again as soon as it is back. So they must be there and have seen at least as many
  writes as were counted; if not one more, then their documents must be as many, too.
- Closed ones hold no countable documents: they must be closed, and their segment files those of the backup.
- One that a policy of the server may delete at any time (logs, monitoring) is only missed with a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from propolis.command.context import Context
from propolis.errors import IntegrityError, PreflightError
from propolis.repository import Manifest
from propolis.stack.index.contents import IndexInfo, folders, indices, owner_of, uuid_of
from propolis.stack.index.server import documents
from propolis.stack.index.service import Index
from propolis.stack.index.writes import FLOOD, cluster_blocks, lift, room
from propolis.stack.model import on_host

_UNLIKE = "The index does not hold what was backed up"
_NEXT = "Run `propolis verify` on this backup, and restore another one"
_SHOWN = 5

Files = Mapping[str, int]
"""Segment files of one index, `SHARD/index/NAME`, and their sizes in bytes."""


def check_indices(context: Context, manifest: Manifest, index: Index) -> dict[str, int]:
    """Check that the restored index holds what the backup does; give the documents of its user's own.

    Raises IntegrityError naming what differs. What can't be determined, and what is missed by right, is a warning.
    """
    facts, login = index.counted(manifest.header.facts), context.services.logins.get(index.role)
    wrong: list[str] = []
    counted: dict[str, int] = {}
    if "documents" in facts:
        counted = documents(index.section, index.prefix, login)
        wrong += _counts(facts["documents"], counted)
        if "indices" not in facts:
            context.warn(f"Only the indices of {index.user} could be compared: the backup has no record of others")
    elif "indices" not in facts:
        context.warn(
            "The index could not be compared: the backup has no number of documents, since the index was not running"
        )
    wanted = expected(facts)
    if wanted:
        try:
            here = indices(index.section, login, refresh=True)
        except PreflightError as error:
            context.warn(f"Only the indices of {index.user} could be compared: {error.what}")
        else:
            others, warnings = compare(wanted, here, index.prefix)
            closed = [one.uuid for one in wanted if one.open is False]
            files = closed_files(manifest, closed, on_host(index.data, context.config.host))
            wrong += others
            unlike = compare_closed(wanted, files, index.section.data)
            # A cluster is free to move shards from node to node as soon as it is whole.
            (wrong if index.nodes == 1 else warnings).extend(unlike)
            for warning in warnings:
                context.warn(warning)
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise IntegrityError(
            f"{_UNLIKE}: {'; '.join(wrong[:_SHOWN])}{more}", left="The former data is being put back", next=_NEXT
        )
    return counted


def let_write(context: Context, index: Index) -> list[str]:
    """Lift the block of a full disk from every index that has it, if the disk has room now; give their names.

    What stays blocked is a warning, whoever blocked it; so is what can't be determined.
    """
    config, login = index.section, context.services.logins.get(index.role)
    lifted: list[str] = []
    try:
        found = [info for info in indices(config, login) if info.open and info.blocks]
        full = [info.name for info in found if FLOOD in info.blocks]
        space = room(config, login) if full else None
        if space is not None and space.enough:
            lift(config, full, login)
            lifted = full
            context.warn(
                f"{', '.join(full)} was restored with writes blocked, because its disk had been full; the "
                "block was lifted"
            )
        elif space is not None:
            context.warn(
                f"{', '.join(full)} takes no writes (index.blocks.{FLOOD}): the index's disk has {space.free >> 20} "
                f"MiB free and needs {space.needed >> 20} MiB. Free some space; then the server lifts the block"
            )
        for info in found:
            for block in info.blocks:
                if block != FLOOD and index.owner_of(info.name) == "stack":
                    context.warn(f"{info.name} takes no writes (index.blocks.{block}), as when it was backed up")
        for block in cluster_blocks(config, login):
            context.warn(f"The whole index takes no writes (cluster.blocks.{block}), as when it was backed up")
    except PreflightError as error:
        context.warn(f"Whether the index takes writes could not be determined: {error.what}")
    return lifted


def _counts(backed_up: Mapping[str, int], restored: Mapping[str, int]) -> list[str]:
    return [
        f"{name}: {backed_up.get(name, 0)} documents backed up, {restored.get(name, 0)} restored"
        for name in sorted({*backed_up, *restored})
        if backed_up.get(name) != restored.get(name)
    ]


class Expected(msgspec.Struct, frozen=True):
    """One index as the backup tells it. What an older backup didn't note has a default that asks for nothing."""

    name: str
    uuid: str = ""
    documents: int = 0
    operations: int = 0
    open: bool | None = None
    managed: bool = False


def expected(facts: Mapping[str, Any]) -> list[Expected]:
    """Read what a manifest tells of indices. Raises IntegrityError if that can't be understood."""
    try:
        return msgspec.convert(facts.get("indices", []), type=list[Expected])
    except msgspec.ValidationError as error:
        raise IntegrityError(f"The backup's record of its indices can't be understood: {error}") from None


def compare(wanted: Iterable[Expected], here: Iterable[IndexInfo], prefix: str) -> tuple[list[str], list[str]]:
    """Compare all but documents of TheHive's own and files of closed ones; give differences and warnings.

    `prefix` is that of TheHive's indices whose documents were counted.
    """
    found = {info.name: info for info in here}
    wrong, warnings = [], []
    for one in wanted:
        info, owner = found.get(one.name), owner_of(one.name, prefix)
        if info is None:
            if one.managed and owner != "stack":
                warnings.append(
                    f"the index {one.name} does not exist: a policy of the server deletes it after some time"
                )
            else:
                wrong.append(f"{one.name} does not exist")
        elif one.uuid and info.uuid != one.uuid:
            (warnings if owner == "server" else wrong).append(f"{one.name} is another index with that name")
        elif one.open is not None and one.open != info.open:
            states = {True: "open", False: "closed"}
            wrong.append(f"{one.name} was {states[one.open]} and is {states[info.open]}")
        elif info.open and one.open and owner != "stack":
            wrong += _counted(one, info)
    return wrong, warnings


def _counted(one: Expected, info: IndexInfo) -> list[str]:
    if info.operations < one.operations:
        return [f"{one.name} has seen {info.operations} writes, {one.operations} when it was backed up"]
    if info.operations == one.operations and info.documents != one.documents:
        return [f"{one.name}: {one.documents} documents backed up, {info.documents} restored"]
    return []


def compare_closed(wanted: Iterable[Expected], backed_up: Mapping[str, Files], data: Path) -> list[str]:
    """Compare the segment files of closed indices, by UUID, with those on disk below a node's data folder."""
    here = folders(data)
    wrong = []
    for one in wanted:
        if one.open is not False or not one.uuid:
            continue
        files = _segments_on_disk(here[one.uuid]) if one.uuid in here else {}
        expected_files = backed_up.get(one.uuid, {})
        for name in sorted({*files, *expected_files}):
            if files.get(name) != expected_files.get(name):
                sizes = f"{expected_files.get(name, 'no')} bytes backed up, {files.get(name, 'no')} restored"
                wrong.append(f"the closed index {one.name} differs in {name}: {sizes}")
                break
    return wrong


def closed_files(manifest: Manifest, uuids: Iterable[str], tree: str = Index.data) -> dict[str, dict[str, int]]:
    """The segment files that a backup holds of some indices, by their UUIDs."""
    found: dict[str, dict[str, int]] = {uuid: {} for uuid in uuids}
    if not found:
        return found
    for entry in manifest.entries(tree):
        path = entry.path.decode(errors="replace")
        uuid = uuid_of(path)
        if uuid in found and entry.type in ("f", "h") and _is_segment(path):
            found[uuid][path.partition(f"{uuid}/")[2]] = entry.size
    return found


def _segments_on_disk(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.glob("*/index/*")
        if path.is_file() and _is_segment(str(path))
    }


def _is_segment(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return folder.endswith("/index") and name != "write.lock"
