"""Folders to clone, and what can be said of a folder's whole content."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

# Any name a Linux filesystem takes, also bytes that are no UTF-8; the leading letter keeps "." and ".." out.
NAMES = st.binary(min_size=0, max_size=12).map(
    lambda raw: os.fsdecode(b"n" + raw.replace(b"/", b"_").replace(b"\0", b"_"))
)
MODES = st.integers(0, 0o7777)
TIMES = st.integers(0, 2**32 * 1_000_000_000)


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int
    owner: tuple[int, int]
    mtime_ns: int


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True)
class Folder:
    entries: dict[str, File | Link | Folder]
    mode: int
    mtime_ns: int


OWNERS = (
    st.tuples(st.integers(0, 70000), st.integers(0, 70000))
    if os.geteuid() == 0
    else st.just((os.geteuid(), os.getegid()))
)
FILES = st.builds(File, st.binary(max_size=200), MODES, OWNERS, TIMES)
LINKS = st.builds(Link, st.sampled_from(["/etc/passwd", "..", "nowhere", "n", "."]))


def folders(entries: st.SearchStrategy[File | Link | Folder]) -> st.SearchStrategy[Folder]:
    # As its owner one can't look into a folder without these bits.
    modes = MODES.map(lambda mode: mode | 0o700)
    return st.builds(Folder, st.dictionaries(NAMES, entries, max_size=5), modes, TIMES)


TREES = folders(st.recursive(FILES | LINKS, lambda inner: inner | folders(inner), max_leaves=25))


def make(folder: Folder, where: Path) -> None:
    where.mkdir()
    for name, entry in folder.entries.items():
        path = where / name
        match entry:
            case Folder():
                make(entry, path)
            case Link():
                path.symlink_to(entry.target)
            case File():
                path.write_bytes(entry.content)
                os.chown(path, *entry.owner)
                path.chmod(entry.mode | (0o400 if os.geteuid() else 0))
                os.utime(path, ns=(1, entry.mtime_ns))
    where.chmod(folder.mode)
    os.utime(where, ns=(1, folder.mtime_ns))


def content(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything a clone must keep: kind, bytes or target, mode, owner and modification time of each path."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            kept: object = path.readlink()
        elif stat.S_ISREG(status.st_mode):
            kept = path.read_bytes()
        else:
            kept = None
        found[str(path.relative_to(root))] = (
            kept,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
        )
    return found
