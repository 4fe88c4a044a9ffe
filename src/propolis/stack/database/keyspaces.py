"""Which keyspaces a Cassandra node holds, whoever they belong to: by its folders, so also while it doesn't run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SERVER = re.compile(r"system|system_(auth|distributed|schema|traces|views|virtual_schema|cluster_metadata)")
"""Keyspaces of Cassandra's own."""

_KEPT_BESIDE = frozenset({"snapshots", "backups"})
"""What of a table's folder isn't live data; it may outlive the table."""


def is_servers(keyspace: str) -> bool:
    """Whether a keyspace is Cassandra's own."""
    return SERVER.fullmatch(keyspace) is not None


def live_parts(folders: Iterable[Path]) -> dict[str, set[str]]:
    """Give what tells one state of each keyspace from another, by keyspace: its tables' folders and their SSTables.

    `folders` are the node's data folders. SSTables never change, so whatever was flushed to a keyspace since an
    earlier look shows as a part that wasn't there. A folder with nothing but snapshots is of a dropped table. Where
    a data folder is a mount of its own, runs keep theirs in it, too: no keyspace has such a name.
    """
    found: dict[str, set[str]] = {}
    for folder in folders:
        for table in folder.glob("[!.]*/*/"):
            names = {child.name for child in table.iterdir()} if table.is_dir() else set()
            if not names or names - _KEPT_BESIDE or not _holds_anything(table / "snapshots"):
                parts = found.setdefault(table.parent.name, set())
                parts.add(f"{table.parent.name}/{table.name}")
                for name in names:
                    part = live_part(f"{table.parent.name}/{table.name}/{name}")
                    if part is not None:
                        parts.add(part)
    return found


def live_part(path: str) -> str | None:
    """The part that a file or folder below a data folder stands for; None for what `live_parts` doesn't count."""
    parts = path.split("/")
    return path if len(parts) == 2 or (len(parts) == 3 and is_sstable(path)) else None


def is_sstable(path: str) -> bool:
    """Whether a part is an SSTable rather than a table's folder."""
    return path.endswith("-Data.db")


def _holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
