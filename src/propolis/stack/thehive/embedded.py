"""Stores that TheHive keeps itself, in folders: Berkeley DB and Lucene. No service has them but TheHive."""

from __future__ import annotations

from pathlib import Path

from propolis.config.schema import BerkeleyConfig, Config, LuceneConfig
from propolis.stack.index.files import immutable
from propolis.stack.model import FolderTree, Tree, nothing_immutable


def trees(section: BerkeleyConfig | LuceneConfig) -> tuple[Tree, ...]:
    """The one tree `database/berkeleyje` or `index/lucene`.

    Berkeley DB appends to its newest log file, which no name tells from the others, so all are copied. Lucene's files
    are written once, as those of the servers that are built on it.
    """
    if isinstance(section, BerkeleyConfig):
        return (FolderTree("database", "database/berkeleyje", "thehive", nothing_immutable, section.folder),)
    return (FolderTree("index", "index/lucene", "thehive", immutable, section.folder),)


def missing(config: Config, store: str) -> str | None:
    """Say what the folder of `store` (`database` or `index`) lacks to be one; None where it is whole or not embedded.

    An empty folder would be backed up, and restored, without an error, and hold nothing.
    """
    section = config.database if store == "database" else config.index
    if isinstance(section, BerkeleyConfig) and not _holds(section.folder, "*.jdb"):
        return f"{section.folder} holds no Berkeley DB (no *.jdb file)"
    if isinstance(section, LuceneConfig) and not _holds(section.folder, "segments_*"):
        return f"{section.folder} holds no Lucene index (no segments_* file)"
    return None


def _holds(folder: Path, pattern: str) -> bool:
    """Whether a file of that name lies in `folder`, or in a folder of it: Lucene has one for each index."""
    return any(file.is_file() for file in (*folder.glob(pattern), *folder.glob(f"*/{pattern}")))
