"""POSIX access lists, as the kernel keeps them (`linux/posix_acl_xattr.h`)."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import NamedTuple

_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_NOBODY = (1 << 32) - 1
OWNER, USER, GROUP_OF_OWNER, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NAMED = (USER, GROUP)


class Grant(NamedTuple):
    """One line of an access list."""

    kind: int
    rights: int
    """Three bits, as in a mode."""
    number: int
    """Of a named user or group."""


def parse(value: bytes) -> list[Grant]:
    """A list's lines; raises `ValueError` for what the kernel would not take."""
    if (
        len(value) < _VERSION.size
        or (len(value) - _VERSION.size) % _ENTRY.size
        or _VERSION.unpack_from(value) != (2,)
    ):
        raise ValueError("not an access list")
    grants = [Grant(*fields) for fields in _ENTRY.iter_unpack(value[_VERSION.size :])]
    kinds = [grant.kind for grant in grants]
    named = [grant for grant in grants if grant.kind in _NAMED]
    if (
        kinds != sorted(kinds)
        or any(kind not in (OWNER, USER, GROUP_OF_OWNER, GROUP, MASK, OTHER) for kind in kinds)
        or any(kinds.count(kind) != 1 for kind in (OWNER, GROUP_OF_OWNER, OTHER))
        or kinds.count(MASK) > 1
        or (named and MASK not in kinds)
        or any(grant.rights > 7 for grant in grants)
        or any(grant.number == _NOBODY for grant in named)
        or len({(grant.kind, grant.number) for grant in named}) != len(named)
    ):
        raise ValueError("not an access list")
    return grants


def join(grants: list[Grant]) -> bytes:
    """The reverse of `parse`."""
    return _VERSION.pack(2) + b"".join(_ENTRY.pack(*grant) for grant in grants)


@functools.lru_cache(maxsize=1024)
def names(value: bytes) -> tuple[frozenset[int], frozenset[int]]:
    """The numbers of the users and of the groups that a list names."""
    grants = parse(value)
    users = frozenset(grant.number for grant in grants if grant.kind == USER)
    return users, frozenset(grant.number for grant in grants if grant.kind == GROUP)


def renumber(value: bytes, user: Callable[[int], int], group: Callable[[int], int]) -> bytes:
    """The list for another host's numbers.

    Of two that become one, the lesser rights count: nobody gets more than somebody had.
    """
    grants: dict[tuple[int, int], Grant] = {}
    for grant in parse(value):
        if grant.kind in _NAMED:
            grant = grant._replace(number=(user if grant.kind == USER else group)(grant.number))
        key = (grant.kind, grant.number if grant.kind in _NAMED else 0)
        before = grants.get(key)
        grants[key] = grant if before is None else grant._replace(rights=grant.rights & before.rights)
    return join(sorted(grants.values(), key=lambda grant: (grant.kind, grant.number)))


def mode_without(value: bytes, mode: int) -> int:
    """The mode of a file that can't have its list: it gives nobody what the list doesn't.

    With a list, a mode's group bits are its mask, not what the group may. And those whom the list names may be
    allowed less than all others: they fall under the group's or the others' bits without it.
    """
    grants = parse(value)
    mask = next((grant.rights for grant in grants if grant.kind == MASK), 7)
    named = 7
    for grant in grants:
        if grant.kind in _NAMED:
            named &= grant.rights & mask
    group = next(grant.rights for grant in grants if grant.kind == GROUP_OF_OWNER) & mask & named
    other = next(grant.rights for grant in grants if grant.kind == OTHER) & named
    return mode & ~0o77 | group << 3 & mode | other & mode
