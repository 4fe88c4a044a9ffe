"""The backups of a repository, in the order in which they were made, and what of them can't be read."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field

from propolis.clock import utc_now, utc_text
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.catalog.chronicle import Placed, Told, is_behind, order, stamp_time
from propolis.repository.crypto.identities import Identity
from propolis.repository.format.damage import Finding, sparing
from propolis.repository.format.entries import BackupId
from propolis.repository.format.manifest import parse_header
from propolis.repository.format.names import MANIFEST_LIMIT, parse_manifest_name
from propolis.repository.format.text import read_header
from propolis.repository.model import BackupSummary
from propolis.repository.storage.ahead import read_ahead
from propolis.repository.storage.base import Storage, Stored

_BEGINNING = 192 << 10
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Listing:
    """What a look at all manifests found."""

    backups: list[BackupSummary] = field(default_factory=list)
    """Those that can be read, newest last."""
    damaged: list[Finding] = field(default_factory=list)
    """Those that can't."""
    behind: bool = False
    """This host's clock is behind, so that it doesn't tell which are of the future."""
    places: dict[str, Placed] = field(default_factory=dict)
    """By ID, those that can be read."""
    stored: dict[str, int] = field(default_factory=dict)
    """When the storage dated each manifest, damaged ones too: by ID, nanoseconds since 1970."""

    def of(self, stack: str | None) -> list[BackupSummary]:
        """The backups of a stack, newest last; of all for None."""
        return [backup for backup in self.backups if stack is None or backup.header.stack == stack]

    def meant(self, stack: str | None) -> str | None:
        """The stack whose backups are meant by `stack`: that one, or the only other one where it has none.

        Raises `RepositoryError` where that can't be told: there are several others, or damaged ones, of whomever.
        """
        stacks = sorted({backup.header.stack for backup in self.backups})
        if stack is None or stack in stacks or not stacks:
            return stack
        if len(stacks) > 1 or self.damaged:
            others = ", ".join(stacks)
            unread = f", and {len(self.damaged)} that can't be read" if self.damaged else ""
            raise RepositoryError(
                f"The repository has no backup of the stack {stack}; it has those of {others}{unread}",
                next="Name the backup by its ID, as `propolis list` shows it",
            )
        return stacks[0]

    def latest(self, stack: str | None = None) -> BackupSummary | None:
        """The newest whose clock wasn't ahead; if that is so of all, the newest. None when there is none."""
        mine = self.of(stack)
        sure = [backup for backup in mine if self.places[backup.id].doubt != "ahead"]
        return next(reversed(sure or mine), None)

    def passed_over(self, chosen: BackupSummary) -> list[str]:
        """What may be newer than the chosen one, in whole sentences; and that its own time is in doubt."""
        mine = self.of(chosen.header.stack)
        newer = mine[[backup.id for backup in mine].index(chosen.id) + 1 :]
        found = [
            f"Backup {backup.id} may be newer than {chosen.id}, but its host's clock was ahead; give its ID to use it"
            for backup in newer
        ]
        found += [
            f"Backup {id} may be newer than {chosen.id}, but can't be read: {finding.what}"
            for id, finding in self.unread_since(chosen)
        ]
        return found + ([chosen.clock] if chosen.clock else [])

    def unread_since(self, chosen: BackupSummary | None) -> list[tuple[BackupId, Finding]]:
        """The damaged ones that may be newer than the chosen one, and why they can't be read; for None, all."""
        found = [(id, finding) for finding in self.damaged if (id := _id(finding.object)) is not None]
        if chosen is None:
            return found
        since, stored = self.places[chosen.id].time, self.stored.get(chosen.id, 0)
        mine = self.of(chosen.header.stack)
        before = {backup.header.parent for backup in mine[: [it.id for it in mine].index(chosen.id) + 1]}
        return [
            (id, finding)
            for id, finding in found
            if id not in before and ((stamp_time(id) or since) > since or self.stored.get(id, 0) > stored)
        ]


def list_backups(storage: Storage, identities: Sequence[Identity], created: str) -> Listing:
    """Look at the beginning of every manifest. Raises `RepositoryError` when the storage fails as a whole.

    `created` is the time at which the repository was made, as its `config` says.
    """
    listed = sorted(
        (item for item in storage.list("manifests") if parse_manifest_name(item.name)), key=lambda item: item.name
    )
    listing = Listing()
    found: dict[str, BackupSummary] = {}
    beginnings = [dataclasses.replace(item, size=min(item.size, _BEGINNING)) for item in listed]
    sizes = {item.name: item for item in listed}
    for item, reading in read_ahead(beginnings, lambda item: read_summary(storage, identities, sizes[item.name])):
        listing.stored[_id(item.name) or ""] = item.modified_ns
        with sparing(storage, item.name, listing.damaged):
            summary = reading.result()
            found[summary.id] = summary
    _sort(storage, _moment(created), listing, found)
    return listing


def read_summary(storage: Storage, identities: Sequence[Identity], stored: Stored) -> BackupSummary:
    """What the beginning of a manifest tells; raises `IntegrityError` when it is damaged."""
    id = _id(stored.name)
    if id is None:
        raise IntegrityError(f"{stored.name} is not the name of a manifest")
    beginning = storage.head(stored.name, _BEGINNING)
    whole = len(beginning) >= stored.size
    line = read_header(beginning, identities, stored.name, whole=whole)
    if line is None:
        rest = storage.get(stored.name, MANIFEST_LIMIT)
        line = read_header(rest, identities, stored.name, whole=True)
    header = parse_header(line or b"", stored.name)
    if stamp_time(id) is None:
        raise IntegrityError(f"{stored.name} has an impossible time in its name")
    return BackupSummary(id, header, stored.size, time=header.ended)


def _sort(
    storage: Storage, created: datetime.datetime | None, listing: Listing, found: dict[str, BackupSummary]
) -> None:
    """Put what was read in order, each stack by itself."""
    now = storage.at or utc_now()
    stacks: dict[str, list[Told]] = {}
    for id, summary in found.items():
        claimed = stamp_time(id) or now
        stored = _EPOCH + datetime.timedelta(microseconds=listing.stored[id] // 1000)
        stacks.setdefault(summary.header.stack, []).append(Told(id, claimed, stored, summary.header.parent))
    listing.behind = is_behind([item for told in stacks.values() for item in told], created, now)
    placed = [place for told in stacks.values() for place in order(told, created, now)]
    listing.places = {place.id: place for place in placed}
    for place in sorted(placed, key=lambda place: place.time):  # keeps the order within a stack
        listing.backups.append(dataclasses.replace(found[place.id], time=utc_text(place.time), clock=place.remark))


def _id(name: str) -> BackupId | None:
    parsed = parse_manifest_name(name)
    return BackupId(f"{parsed[0]}-{parsed[1][:8]}") if parsed else None


def _moment(text: str) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
