"""Free space: one computation, for each filesystem, of all that a backup or a restore needs there at once.

A backup needs what its clones really copy. A restore needs all that it brings, since the present data stays beside it
until the checks have passed. Either needs the space that is reserved for services to start in, and some that services
write meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from propolis import clone
from propolis.checks.look import Look, Wanted
from propolis.clone import Method
from propolis.command.kept import records
from propolis.command.reserve import RESERVE_BYTES
from propolis.config.schema import Config
from propolis.errors import PropolisError
from propolis.stack.rules import Check
from propolis.stack.stack import folders

SPARE_BYTES = 128 * 2**20
"""Left free beside all that is needed: services write, and a file takes more than its own bytes."""

ENTRY_BYTES = 4096
"""What a restored file or folder takes besides its bytes: the rest of its last block, or its own first."""


@dataclass
class Filesystem:
    """One filesystem, what it has and what is needed of it."""

    folder: Path
    """One of the stack's folders on it, by which a person knows it."""
    free: int
    inodes: int | None
    """Files that can still be made; None where the filesystem doesn't count them."""
    bytes: int = 0
    entries: int = 0
    reserve: int = 0
    kept: int = 0
    """What restores keep there of the former data: it can be dropped."""

    @property
    def needed(self) -> int:
        """Bytes that must be free."""
        return self.bytes + self.reserve + SPARE_BYTES

    @property
    def lacks_room(self) -> bool:
        """Whether it has too little."""
        return self.needed > self.free or (self.inodes is not None and self.entries > self.inodes)


def filesystems(config: Config, wanted: Iterable[Wanted]) -> list[Filesystem]:
    """Add up what is wanted by filesystem, with what is reserved there. Raises OSError, PreflightError."""
    found: dict[int, Filesystem] = {}
    for one in wanted:
        filesystem = _of(one.folder, found)
        filesystem.bytes += one.bytes
        filesystem.entries += one.entries
    for tree in folders(config):
        if tree.path.is_dir():
            device = clone.place(tree.path, "space").parent.stat().st_dev
            if device in found:
                found[device].reserve = RESERVE_BYTES
    for kept in records(config.state).kept:
        for folder in kept.folders:
            device = _nearest(Path(folder.folder)).stat().st_dev
            if device in found:
                found[device].kept += folder.bytes
    return list(found.values())


def for_clones(look: Look) -> Iterator[Check]:
    """Whether clones have room, and whether much must be copied in downtime."""
    wanted = []
    for tree in folders(look.config):
        name = f"clone {tree.name}"
        try:
            found = look.surveys[tree.name].get()
        except PropolisError as error:
            yield Check(name, "fail", error.what, error.next)
            continue
        shared = found.method is Method.HARDLINK
        wanted.append(Wanted(found.folder, found.bytes_copied, 0 if shared else found.files))
        copied = f"{_mib(found.bytes_copied)} of {_mib(found.bytes_total)} copied during the downtime"
        message = f"{found.method.value}, {copied}"
        if found.method is Method.COPY and found.bytes_total > SPARE_BYTES:
            hint = "Move the folder to a filesystem with reflinks (XFS, btrfs) or hard links"
            yield Check(name, "warn", message, hint)
        else:
            yield Check(name, "ok", message)
    for filesystem in filesystems(look.config, wanted):
        yield _told("space for a clone", filesystem, "clones need", "Free some space there")


def for_restore(look: Look) -> Iterator[Check]:
    """Whether what a restore brings has room beside the present data; the doctor takes that for as large as it."""
    if look.incoming is not None:
        wanted = list(look.incoming)
    else:
        surveys = [found for survey in look.surveys.values() if (found := survey.known()) is not None]
        wanted = [
            Wanted(found.folder, found.bytes_total + found.files * ENTRY_BYTES, found.files) for found in surveys
        ]
    for filesystem in filesystems(look.config, wanted):
        stays = f", which stays for {look.keep_days} days," if look.keep_days else ""
        message = f"a restore beside the present data{stays} needs"
        yield _told("space for a restore", filesystem, message, "Free some space there, or restore less with --only")


def _told(name: str, filesystem: Filesystem, what: str, hint: str) -> Check:
    where = f"the filesystem of {filesystem.folder} has {_mib(filesystem.free)} free"
    kept_free = _mib(filesystem.needed - filesystem.bytes)
    needed = f"{what} {_mib(filesystem.bytes)}, and services {kept_free}"
    if filesystem.kept:
        hint = f"{hint}; restores keep {_mib(filesystem.kept)} of former data there, `propolis clean --all` drops it"
    if filesystem.needed > filesystem.free:
        return Check(name, "fail", f"{where}, {needed}", hint)
    if filesystem.lacks_room:
        message = (
            f"{filesystem.inodes} more files can be created on the filesystem of {filesystem.folder}, {what} "
            f"{filesystem.entries}"
        )
        return Check(name, "fail", message, "Remove files there, or use a filesystem with more inodes")
    return Check(name, "ok", f"{where}, {needed}")


def _of(folder: Path, found: dict[int, Filesystem]) -> Filesystem:
    nearest = _nearest(folder)
    device = nearest.stat().st_dev
    if device not in found:
        space = os.statvfs(nearest)
        inodes = space.f_favail if space.f_files else None
        found[device] = Filesystem(folder, space.f_bavail * space.f_frsize, inodes)
    return found[device]


def _nearest(path: Path) -> Path:
    """The folder itself, or the one in which it will be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _mib(count: int) -> str:
    return f"{count / 1024**2:,.0f} MiB" if count >= 1024**2 else f"{count / 1024:,.0f} KiB"
