"""Whose files restored files become on this host."""

from __future__ import annotations

import functools
import grp
import pwd
from collections.abc import Callable
from pathlib import Path

from propolis.repository import Entry, Manifest

Owner = Callable[[Entry], tuple[int, int]]


def owner_map(manifest: Manifest, tree: str, target: Path) -> Owner:
    """Say who owns an entry of `tree` when it is restored into `target`.

    Whoever owned the tree's own folder is, on this host, whoever owns the target's: a service may have another
    number, or another name, here. Others are looked up by name, and keep their number where this host lacks the name.
    """
    root = next((entry for entry in manifest.entries(tree) if entry.path == b"."), None)
    here = target.stat() if target.is_dir() else None

    def owner(entry: Entry) -> tuple[int, int]:
        uid, gid = user_number(entry.user, entry.uid), group_number(entry.group, entry.gid)
        if root is not None and here is not None:
            if entry.uid == root.uid:
                uid = here.st_uid
            if entry.gid == root.gid:
                gid = here.st_gid
        return uid, gid

    return owner


@functools.lru_cache(maxsize=1024)
def user_number(name: str, number: int) -> int:
    """The number of a user on this host; `number` where the name is empty or unknown here."""
    try:
        return pwd.getpwnam(name).pw_uid if name else number
    except KeyError:
        return number


@functools.lru_cache(maxsize=1024)
def group_number(name: str, number: int) -> int:
    """The number of a group on this host; `number` where the name is empty or unknown here."""
    try:
        return grp.getgrnam(name).gr_gid if name else number
    except KeyError:
        return number
