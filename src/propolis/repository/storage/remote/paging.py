"""A folder's objects in order, page by page, so that a listing of any length goes on after a cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from propolis.errors import RepositoryError
from propolis.repository.storage.base import Stored, checked_name
from propolis.repository.storage.remote.messages import PAGE_BYTES

_ENTRY_BYTES = 32
"""More than an entry takes beside its name."""

Listed = tuple[str, int, int]


def place_in_order(name: str) -> tuple[str, ...]:
    """What names are sorted by."""
    return tuple(name.split("/"))


def page(root: Path, prefix: str, after: str) -> tuple[tuple[Listed, ...], bool]:
    """Objects below a folder from the first after that name on, and whether there are more. Raises `OSError`."""
    begin = place_in_order(after[len(prefix) + 1 :] if prefix else after) if after else ()
    start = f"{prefix}/" if prefix else ""
    found: list[Listed] = []
    room = PAGE_BYTES
    for stored in _walk(root / prefix, start, begin):
        room -= len(stored.name.encode()) + _ENTRY_BYTES
        if room < 0:
            return tuple(found), True
        found.append((stored.name, stored.size, stored.modified_ns))
    return tuple(found), False


def _walk(folder: Path, prefix: str, begin: tuple[str, ...]) -> Iterator[Stored]:
    """In order, those after `begin`, which is below the folder."""
    try:
        with os.scandir(folder) as entries:
            sorted_entries = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    first = begin[0] if begin else ""
    for entry in sorted_entries:
        if entry.name < first or not _is_name(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", begin[1:] if entry.name == first else ())
            continue
        if entry.name == first:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # removed since it was listed
        yield Stored(f"{prefix}{entry.name}", status.st_size, status.st_mtime_ns)


def _is_name(name: str) -> bool:
    """Whether an object may be called so; what somebody else put there isn't one."""
    try:
        return bool(checked_name(name))
    except (RepositoryError, UnicodeEncodeError):
        return False
