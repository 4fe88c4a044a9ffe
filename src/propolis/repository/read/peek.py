"""Reads a few small files of a backup into memory, such as a configuration: nothing of them touches a disk."""

from __future__ import annotations

from propolis.errors import RepositoryError
from propolis.repository.format.entries import link_of
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.rules import label
from propolis.repository.model import Stats
from propolis.repository.read.packs import PackOpener
from propolis.repository.read.restore import PathFilter, tree_of
from propolis.repository.read.segments import check_segment, positions
from propolis.repository.repository import Repository


def read_files(
    repository: Repository, manifest: Manifest, tree: str, wanted: PathFilter, limit: int
) -> dict[bytes, bytes]:
    """Give the content of the files of a folder tree whose paths are `wanted`, by path, every segment checked.

    Raises `RepositoryError` when together they have more than `limit` bytes, and as `restore_folder` does.
    """
    repository.require_pack_key()
    tree_of(manifest, tree, "folder")
    names: dict[bytes, list[bytes]] = {}
    for entry in manifest.entries(tree):
        if entry.type in "fh" and wanted(entry.path):
            names.setdefault(link_of(entry) if entry.type == "h" else entry.path, []).append(entry.path)
    entries = [entry for entry in manifest.entries(tree) if entry.type == "f" and entry.path in names]
    if sum(entry.size for entry in entries) > limit:
        raise RepositoryError(f"{label(entries[0])} and others of {manifest.name} are larger than {limit} bytes")
    table = repository.load_table()
    opener = PackOpener(repository.storage, repository.identities, Stats())
    found = {}
    for entry in entries:
        content = bytearray(entry.size)
        for position, at in positions(table, entry):
            segment, place = table.record(position)
            pack = table.packs[place.pack]
            data = check_segment(repository.key, opener.open(pack), segment, place.offset, place.length, pack)
            content[at : at + len(data)] = data
        found.update(dict.fromkeys(names[entry.path], bytes(content)))
    return found
