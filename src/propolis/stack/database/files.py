"""What lies in Cassandra's folders, and how its files behave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from propolis.config.load import read_yaml
from propolis.config.schema import CassandraConfig
from propolis.errors import ConfigError
from propolis.stack.model import FolderTree, Tree, none_kept_empty, nothing_immutable
from propolis.stack.ring import Ring, ring

LOG = "database/commitlog"
"""The name of the commit log's tree."""


def ring_of(config: CassandraConfig) -> Ring | None:
    """Where the node will be, and its seeds, as cassandra.yaml has it; None where that doesn't tell."""
    try:
        document = read_yaml(config.config / "cassandra.yaml")
        (provider,) = document["seed_provider"]
        seeds = ",".join(str(one["seeds"]) for one in provider["parameters"] if "seeds" in one)
    except (ConfigError, LookupError, TypeError, ValueError):
        return None
    if not seeds or not str(provider.get("class_name", "")).endswith("SimpleSeedProvider"):
        return None
    named = [document.get(key) for key in ("broadcast_address", "listen_address")]
    return ring([config.host, *(str(name) for name in named if name)], filter(str.strip, seeds.split(",")))


def trees(config: CassandraConfig) -> tuple[Tree, ...]:
    """Every folder that Cassandra needs to start again with all its data.

    `saved_caches` is not among them: it only spares reads after a start, Cassandra rebuilds it, and one that
    belongs to other data would be wrong.
    """
    data = [
        FolderTree(
            "database",
            f"database/data-{number}",
            "database",
            immutable,
            folder,
            kept_empty=none_kept_empty if config.keep_snapshots else without_snapshots,
        )
        for number, folder in enumerate(config.data)
    ]
    others = [("commitlog", config.commitlog), ("hints", config.hints), ("cdc_raw", config.cdc_raw)]
    return (
        *data,
        *(
            FolderTree("database", f"database/{name}", "database", nothing_immutable, folder)
            for name, folder in others
            if folder is not None
        ),
        FolderTree("config", "config/database", "database", nothing_immutable, config.config),
    )


def without_snapshots(path: str) -> str | None:
    """Leave out what Cassandra set aside of a table (a `KeptEmpty` rule): old data, often more than what is live."""
    parts = path.split("/")  # keyspace, table, …
    return _SET_ASIDE.get(parts[2]) if len(parts) == 3 else None


_SET_ASIDE = {
    "snapshots": "folders of Cassandra's snapshots (database.keep_snapshots keeps them)",
    "backups": "folders of Cassandra's incremental backups (database.keep_snapshots keeps them)",
}


def immutable(path: str) -> bool:
    """Say of a file in a stopped node's data folder whether it never changes in place (an `Immutable` rule).

    True for the components of an SSTable, in tables, secondary indexes and snapshots alike: Cassandra writes them
    once, and where it replaces one (Statistics.db, Summary.db) it makes a new file. Not among them are `TOC.txt`,
    which is appended to when an index is added, and `Filter.db`, which Cassandra 4 truncates and writes anew at a
    start after `bloom_filter_fp_chance` was changed (saveBloomFilter in its SSTableReader).
    """
    return _WRITTEN_ONCE.fullmatch(path.rsplit("/", 1)[-1]) is not None


_WRITTEN_ONCE = re.compile(
    r"""
    [a-z]{2} - [0-9a-z_]+ - (big|bti) -          # version - generation or time-based id - format
    ( (Data|Index|Partitions|Rows|CompressionInfo|Summary|Statistics) \.db | Digest\.crc32 | CRC\.db )
    """,
    re.VERBOSE,
)


def peer_tables(folders: Iterable[Path]) -> Iterator[Path]:
    """The folders of the tables in which a node keeps the addresses of the others: `system.peers`, `system.peers_v2`.

    `folders` are its data folders. No other file of a drained node leads it to them: `system.local` is written anew
    at each start, hints are kept by host ID, `system_distributed` has addresses of past repairs, which nobody asks.
    """
    for folder in folders:
        for table in sorted(folder.glob("system/peers*-*")):
            if _PEERS.fullmatch(table.name) and table.is_dir() and not table.is_symlink():
                yield table


def is_empty_segment(path: Path) -> bool:
    """Whether a segment of the commit log holds no write: it has no section but empty ones, and then nothing.

    All that a drained node leaves is one such segment (seen on 4.1 and 5.0). What another one holds, a start writes
    again.
    """
    with path.open("rb") as file:
        head = file.read(14)  # version, ID, length of the parameters; a checksum follows those
        at = len(head) + int.from_bytes(head[-2:], "big") + 4
        file.seek(at)
        while (marker := file.read(8)).strip(b"\0"):  # where the section ends, and a checksum
            at += len(marker)
            if int.from_bytes(marker[:4], "big") != at:
                return False
        while piece := file.read(1 << 20):
            if piece.strip(b"\0"):
                return False
    return True


_PEERS = re.compile(r"peers(_v2)?-[0-9a-f]{32}")
