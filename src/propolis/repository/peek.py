"""Reads a few small files of a backup into memory, such as a configuration: nothing of them touches a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propolis.errors import RepositoryError
from propolis.repository.fetch import check_segment, label, positions
from propolis.repository.manifest import Manifest
from propolis.repository.model import Stats
from propolis.repository.packs import PackOpener
from propolis.repository.reader import PathFilter, tree_of

if TYPE_CHECKING:
    from propolis.repository.repository import Repository


def read_files(
    repository: Repository, manifest: Manifest, tree: str, wanted: PathFilter, limit: int
) -> dict[bytes, bytes]:
    """Give the content of the files of a folder tree whose paths are `wanted`, by path, every segment checked.

    Raises `RepositoryError` when together they have more than `limit` bytes, and as `restore_folder` does.
    """
    repository.require_pack_key()
    tree_of(manifest, tree, "folder")
    entries = [entry for entry in manifest.entries(tree) if entry.type == "f" and wanted(entry.path)]
    if sum(entry.size for entry in entries) > limit:
        raise RepositoryError(f"{label(entries[0])} and others of {manifest.name} are larger than {limit} bytes")
    table = repository.load_table()
    opener = PackOpener(repository.storage, repository.identities, Stats())
    found = {}
    for entry in entries:
        content = b""
        for position in positions(table, entry, manifest.name):
            segment, place = table.record(position)
            pack = table.packs[place.pack]
            data = check_segment(repository.key, opener.open(pack), segment, place.offset, place.length, pack)
            content += bytes(data)
        found[entry.path] = content
    return found
