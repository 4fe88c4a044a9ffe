"""Which of a file's extended attributes a restore brings back.

A repository may be somebody's who means harm, so nothing that bears privileges comes back: neither set-user-ID bits
nor file capabilities (`security.capability`), nor what only root can read and write (`trusted.*`). Users' own
attributes, access lists and, where this host has SELinux, labels do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from propolis.filesystem import acl
from propolis.filesystem.attributes import ACCESS_LISTS, SELINUX, Attributes
from propolis.filesystem.unkept import Tally
from propolis.repository.format.entries import Entry, TreeHeader, attributes_of

Owner = Callable[[Entry], tuple[int, int] | None]
"""The (uid, gid) that an entry gets; None leaves it to the user who restores."""

_CACHED = 1000
_SELINUX_HERE = Path("/sys/fs/selinux/enforce")


class Extras:
    """Chooses the attributes that entries of a tree get, with access lists for this host's users and groups."""

    def __init__(self, header: TreeHeader, owner: Owner) -> None:
        self._header = header
        self._owner = owner
        self._labels = _SELINUX_HERE.exists()
        self._known: dict[bytes, tuple[Attributes, tuple[str, ...]]] = {}

    def of(self, entry: Entry, tally: Tally) -> Attributes:
        """What an entry gets; what it doesn't get is counted. Raises `IntegrityError`."""
        if not entry.attributes:
            return ()
        found = self._known.get(entry.attributes)
        if found is None:
            found = self._choose(entry)
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[entry.attributes] = found
        for name in found[1]:
            tally.add(f"attributes that are not restored: {name}", os.fsdecode(entry.path))
        return found[0]

    def _choose(self, entry: Entry) -> tuple[Attributes, tuple[str, ...]]:
        chosen = []
        left = []
        for name, value in attributes_of(entry):
            if name in ACCESS_LISTS:
                chosen.append((name, self._renumbered(value, entry)))
            elif name.startswith(b"user.") or (name == SELINUX and self._labels):
                chosen.append((name, value))
            else:
                left.append(os.fsdecode(name))
        return tuple(chosen), tuple(left)

    def _renumbered(self, value: bytes, entry: Entry) -> bytes:
        def user(number: int) -> int:
            name = self._header.users.get(str(number), "")
            here = self._owner(msgspec.structs.replace(entry, uid=number, user=name))
            return number if here is None else here[0]

        def group(number: int) -> int:
            name = self._header.groups.get(str(number), "")
            here = self._owner(msgspec.structs.replace(entry, gid=number, group=name))
            return number if here is None else here[1]

        return acl.renumber(value, user, group)
