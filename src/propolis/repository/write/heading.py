"""What a backup's header says: of one host, and of several whose parts become one backup."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from propolis import __version__
from propolis.errors import IncompleteError
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId, Header, TreeHeader
from propolis.repository.format.names import FORMAT
from propolis.repository.format.part import PartHeader
from propolis.repository.model import ALTERED_NAMED, Altered, Facts
from propolis.repository.write.protection import LOCKED_UNTIL

LAST_REREAD = "last_reread"
"""The fact that tells when everything was last read."""
HOSTS = "hosts"
"""The fact that tells of each host of a backup of several: by host, what only it says."""
RUN = "run"
"""The fact that tells of which run such a backup is: its parts are no longer needed."""
_ALTERED = "altered"
_PARENTS, _INDEXES = "unreadable_parents", "unreadable_indexes"
_WARNINGS = "warnings"
_OWN = (LAST_REREAD, LOCKED_UNTIL, _ALTERED, _PARENTS, _INDEXES, _WARNINGS)
"""Facts of a part that are not simply taken over."""
_SHOWN = 10


def header_of(
    stack: str,
    facts: Facts,
    started: str,
    parent: BackupId | None,
    trees: list[TreeHeader],
    *,
    last_reread: str | None = None,
    altered: Altered | None = None,
    unreadable_parents: Sequence[str] = (),
    unreadable_indexes: Sequence[str] = (),
) -> Header:
    """The header of a backup, or a part, that is about to end."""
    more: dict[str, Any] = dict(facts.facts)
    if last_reread is not None:
        more[LAST_REREAD] = last_reread
    if altered is not None and altered.count:
        more[_ALTERED] = {"files": altered.count, "named": altered.named}
    if unreadable_parents:
        more[_PARENTS] = list(unreadable_parents)
    if unreadable_indexes:
        more[_INDEXES] = list(unreadable_indexes)
    return Header(
        format=FORMAT,
        stack=stack,
        kind=facts.kind,
        host=socket.gethostname(),
        started=facts.started or started,
        ended="",
        propolis=__version__,
        parent=parent,
        services=dict(facts.services),
        trees=trees,
        facts=more,
    )


def names_of(damaged: Sequence[Finding]) -> list[str]:
    """The objects of these findings."""
    return [found.object for found in damaged]


def require_all_read(unread: Sequence[str]) -> None:
    """Raise `IncompleteError` naming what could not be read whole."""
    if unread:
        more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        raise IncompleteError(
            f"{len(unread)} of the backup's files could not be read completely: {', '.join(unread[:_SHOWN])}{more}",
            left="No backup was recorded",
            next="Back up from a clone or with the services stopped, and make sure that all files are readable",
        )


def merged(parts: Sequence[PartHeader], facts: Facts) -> Header:
    """The header of the backup that these parts make, which must be of one stack, kind and parent.

    `facts` is what the coordinator tells, and counts for more. What hosts say alike, or one of them alone, is said
    once; where they differ, the first one's counts, and `facts["hosts"]` has what each of the others says.
    """
    told = [part.told for part in parts]
    together: dict[str, Any] = {}
    services: dict[str, str] = {}
    for one in told:
        for name, value in one.facts.items():
            if name not in _OWN:
                together[name] = _joined(together[name], value) if name in together else value
        for role, release in one.services.items():
            services[role] = services.get(role) or release
    warnings = [f"{part.host}: {text}" for part in parts for text in _texts(part.told.facts, _WARNINGS)]
    together[_WARNINGS] = [*warnings, *_texts(facts.facts, _WARNINGS)]
    together |= {name: value for name, value in facts.facts.items() if name != _WARNINGS}
    together[HOSTS] = {part.host: _own(part.told, together, services) for part in parts}
    together[RUN] = parts[0].run
    rereads = [one.facts.get(LAST_REREAD) for one in told]
    return header_of(
        told[0].stack,
        Facts(kind=facts.kind, services={**services, **facts.services}, facts=together),
        facts.started or min(one.started for one in told),
        BackupId(told[0].parent) if told[0].parent else None,
        [tree for one in told for tree in one.trees],
        last_reread=min(found) if (found := [at for at in rereads if isinstance(at, str)]) == rereads else None,
        altered=_altered(told),
        unreadable_parents=_union(told, _PARENTS),
        unreadable_indexes=_union(told, _INDEXES),
    )


def _own(told: Header, together: Mapping[str, Any], services: Mapping[str, str]) -> dict[str, Any]:
    """What is kept of one host: what it is called on the network, its times, and what it alone says."""
    facts = {
        name: value for name, value in told.facts.items() if name not in _OWN and not _says(together.get(name), value)
    }
    return {
        "hostname": told.host,
        "started": told.started,
        "ended": told.ended,
        "services": told.services,
        **({"facts": facts} if facts else {}),
    }


def _joined(first: Any, second: Any) -> Any:
    """Tables are joined; else the first one counts."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {**second, **first}
    return first


def _says(together: Any, value: Any) -> bool:
    if isinstance(together, dict) and isinstance(value, dict):
        return all(name in together and together[name] == one for name, one in value.items())
    return bool(together == value)


def _texts(facts: Mapping[str, Any], name: str) -> list[str]:
    found = facts.get(name)
    return [str(text) for text in found] if isinstance(found, list | tuple) else []


def _union(told: Sequence[Header], name: str) -> list[str]:
    return list(dict.fromkeys(text for one in told for text in _texts(one.facts, name)))


def _altered(told: Sequence[Header]) -> Altered:
    altered = Altered()
    for one in told:
        found = one.facts.get(_ALTERED)
        if isinstance(found, dict) and isinstance(found.get("files"), int):
            altered.count += found["files"]
            altered.named = (altered.named + _texts(found, "named"))[:ALTERED_NAMED]
    return altered
