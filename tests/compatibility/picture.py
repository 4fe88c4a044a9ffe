"""What is in a folder, in a form that JSON keeps: to compare what one version saw with what another restores."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

Picture = dict[str, dict[str, Any]]


def picture(folder: Path) -> Picture:
    """Everything that a restore has to bring back of a folder and all in it, by path.

    Owners are part of it for root alone: nobody else can give files away.
    """
    root = os.fsencode(folder)
    found: Picture = {}
    names: dict[tuple[int, int], list[str]] = {}
    for where, folders, files in os.walk(root):
        for name in [b".", *files, *(d for d in folders if Path(os.fsdecode(where + b"/" + d)).is_symlink())]:
            path = os.path.normpath(where + b"/" + name)
            status = os.lstat(path)
            shown = os.fsdecode(os.path.relpath(path, root))
            found[shown] = _entry(path, status)
            if name != b"." and status.st_nlink > 1:
                names.setdefault((status.st_dev, status.st_ino), []).append(shown)
    for linked in names.values():
        for shown in linked:
            found[shown]["names"] = sorted(linked)
    return dict(sorted(found.items()))


def _entry(path: bytes, status: os.stat_result) -> dict[str, Any]:
    entry: dict[str, Any] = {"mode": oct(status.st_mode), "mtime_ns": status.st_mtime_ns}
    if os.geteuid() == 0:
        entry["owner"] = [status.st_uid, status.st_gid]
    if attributes := {n: os.getxattr(path, n, follow_symlinks=False).hex() for n in _attributes(path)}:
        entry["attributes"] = attributes
    if stat.S_ISLNK(status.st_mode):
        entry["target"] = str(Path(os.fsdecode(path)).readlink())
    elif stat.S_ISREG(status.st_mode):
        content = Path(os.fsdecode(path)).read_bytes()
        entry |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        entry["sparse"] = status.st_blocks * 512 < len(content)
    return entry


def _attributes(path: bytes) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))
