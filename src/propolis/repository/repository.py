"""A repository: opened, listed, and the way to its backups."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access import keyring
from propolis.repository.access.keyring import KeyHolder, Unlocked
from propolis.repository.access.leases import Lease, LeaseKind
from propolis.repository.access.leases import lease as take_lease
from propolis.repository.catalog.listing import Listing, list_backups, read_summary
from propolis.repository.crypto.identities import Identity
from propolis.repository.crypto.recipients import AnyKey, AnyRecipient
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.format import names
from propolis.repository.format.config import read_info
from propolis.repository.format.damage import Finding, sparing
from propolis.repository.format.entries import BackupId
from propolis.repository.format.index import index_lines
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.names import INDEX_LIMIT, MANIFEST_LIMIT, check_name, parse_manifest_name
from propolis.repository.format.table import SegmentTable
from propolis.repository.model import BackupSummary
from propolis.repository.storage.ahead import read_ahead
from propolis.repository.storage.base import Storage, Stored
from propolis.repository.storage.location import Location
from propolis.repository.storage.opening import open_storage


class Repository:
    """An open repository. Safe to use from several threads."""

    def __init__(self, storage: Storage, keys: Sequence[AnyKey]) -> None:
        self.storage = storage
        self.keys = list(keys)
        self.info, config = read_info(storage)
        found = keyring.find_key_ring(storage, self.info, config, keys)
        self.ring, self.unlocked = found.ring, found.unlocked
        self.damaged_rings = found.damaged
        """Key rings, and copies of them, that were passed over."""
        self.identities: list[Identity] = []
        """Open the repository's objects: all that the keys given open."""
        if self.unlocked is not None:
            self.identities = self.unlocked.records + self.unlocked.data

    @classmethod
    def init(
        cls,
        location: Location,
        recovery: Sequence[KeyHolder | AnyRecipient],
        host: Identity | None = None,
        *,
        packs_readable_by_host: bool = False,
        segment_bytes: int = names.SEGMENT_BYTES,
    ) -> Repository:
        """Make a repository and open it with the host's identity.

        The recovery keys open everything in it; the host's key opens manifests and indexes. Keys without a name are
        called recovery, recovery-2, …
        `segment_bytes` is the size at which files are cut; it can't be changed later.
        Raises `RepositoryError` when there is one already or the place can't be used.
        """
        return cls.create(
            open_storage(location),
            recovery,
            host,
            packs_readable_by_host=packs_readable_by_host,
            segment_bytes=segment_bytes,
        )

    @classmethod
    def create(
        cls,
        storage: Storage,
        recovery: Sequence[KeyHolder | AnyRecipient],
        host: Identity | None = None,
        *,
        packs_readable_by_host: bool = False,
        segment_bytes: int = names.SEGMENT_BYTES,
    ) -> Repository:
        """As `init`, in a storage that is open."""
        hosts = [host.recipient] if host else []
        keyring.create(
            storage, recovery, hosts, packs_readable_by_host=packs_readable_by_host, segment_bytes=segment_bytes
        )
        return cls(storage, [host] if host else [])

    @classmethod
    def open(cls, location: Location, keys: Sequence[AnyKey]) -> Repository:
        """Open a repository with keys of the host or for recovery.

        Without any, only what needs no key can be done. Raises `RepositoryError`: unreachable, no repository,
        newer format, keys that don't fit; `IntegrityError` when its describing objects are damaged.
        """
        return cls(open_storage(location), keys)

    @property
    def key(self) -> RepositoryKey:
        """The repository's own key; `RepositoryError` when it was opened without a key."""
        return self.require_key().key

    def require_key(self) -> Unlocked:
        """What the key given opens; `RepositoryError` when there was none."""
        if self.unlocked is None:
            raise RepositoryError(
                f"The repository {self.storage.place} was opened without a key",
                next=f"Give the recovery key {self.ring.recovery_text()} with --identity; or give this host access: "
                "propolis repository key add --host --identity FILE, with the same --config",
            )
        return self.unlocked

    @property
    def has_key(self) -> bool:
        """Whether it was opened with an identity: manifests and indexes can be read."""
        return self.unlocked is not None

    @property
    def reads_packs(self) -> bool:
        """Whether one of the keys opens packs, that is, can restore."""
        return self.unlocked is not None and bool(self.unlocked.data)

    def require_pack_key(self) -> None:
        """Raise `RepositoryError` naming the key that is needed when packs can't be opened."""
        if not self.reads_packs:
            raise RepositoryError(
                f"The key given can't read the data in {self.storage.place}",
                next=f"Give the recovery key {self.ring.recovery_text()} with --identity",
            )

    def lease(self, kind: LeaseKind) -> Lease:
        """A lease for a `with` block, which raises `BusyError` when another's is in the way."""
        return take_lease(self.storage, kind)

    def names(self) -> list[tuple[BackupId, str]]:
        """IDs and object names of all backups, oldest first; needs no key."""
        found = []
        for stored in self.storage.list("manifests"):
            parsed = parse_manifest_name(stored.name)
            if parsed:
                found.append((BackupId(f"{parsed[0]}-{parsed[1][:8]}"), stored.name))
        return sorted(found)

    def listing(self) -> Listing:
        """All backups, in order, and what of them can't be read. Raises `RepositoryError` when the storage fails."""
        self.require_key()
        return list_backups(self.storage, self.identities, self.info.created)

    def backups(self, stack: str | None = None, damaged: list[Finding] | None = None) -> list[BackupSummary]:
        """All backups in the order in which they were made, newest last, of one stack or all.

        Only the beginning of each manifest is read. One that can't be is added to `damaged`; without such a list,
        `IntegrityError` is raised.
        """
        listing = self.listing()
        if listing.damaged and damaged is None:
            first = listing.damaged[0]
            raise IntegrityError(first.what, next=f"Run `propolis repository check`: {first.object} is damaged")
        if damaged is not None:
            damaged += listing.damaged
        return [item for item in listing.backups if stack is None or item.header.stack == stack]

    def resolve(
        self, text: str, stack: str | None = None, remarks: list[str] | None = None, *, sure: bool = False
    ) -> BackupId:
        """The backup that `latest` or a unique prefix of an ID means; `RepositoryError` when none or several.

        `stack` is the one whose latest is meant: see `latest`.
        `remarks` is told what somebody should know who asked for the latest, and `sure` if that must be the newest
        of all: see `latest`.
        """
        if text == "latest":
            newest = self.latest(stack, remarks, sure=sure)
            if newest is None:
                raise RepositoryError(f"The repository {self.storage.place} has no backup", next="Take one first")
            return newest
        fitting = [id for id, _ in self.names() if text and id.startswith(text)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise RepositoryError(
                f"{text!r} matches {len(fitting)} backups: {', '.join(fitting[:5])}", next="Give a longer prefix"
            )
        raise RepositoryError(
            f"The repository {self.storage.place} has no backup {text!r}", next="See `propolis list` for the IDs"
        )

    def latest(
        self, stack: str | None = None, remarks: list[str] | None = None, *, sure: bool = False
    ) -> BackupId | None:
        """The newest backup, of one stack or all, that can be read and isn't dated later than now.

        Of a stack that has none, it is that of the only other one, which is told to `remarks`: a stack may be named
        anew on another host. `RepositoryError` where there are several others.
        What may be newer and was passed over is told to `remarks`. None when there is no backup at all; raises
        `IntegrityError` when none of them can be read; if it must be `sure`, also when one may be newer that can't.
        """
        listing = self.listing()
        meant = listing.meant(stack)
        found = listing.latest(meant)
        if found is None:
            if listing.damaged:
                raise IntegrityError(
                    f"None of the {len(listing.damaged)} backups in {self.storage.place} can be read: "
                    f"{listing.damaged[0].what} ({listing.damaged[0].object})",
                    next="Run `propolis repository check`, and use a copy of the repository",
                )
            return None
        unread = listing.unread_since(found) if sure else []
        if unread:
            raise IntegrityError(
                f"Backup {unread[0][0]} may be newer than {found.id}, but can't be read: {unread[0][1].what}",
                left="Nothing was changed",
                next=f"Name an older backup by its ID, e.g. {found.id}; `propolis repository check` reports all "
                "damage",
            )
        if remarks is not None:
            if meant != stack:
                remarks.append(f"There is no backup of the stack {stack}: {found.id} is of {meant}")
            remarks += listing.passed_over(found)
        return found.id

    def summary(self, id: BackupId) -> BackupSummary:
        """What `list` tells of one backup."""
        name = self.name(id)
        self.require_key()
        return read_summary(self.storage, self.identities, Stored(name, self.storage.size(name) or 0, 0))

    def manifest(self, id: BackupId) -> Manifest:
        """A backup's manifest, whole and proven; raises `IntegrityError` when it is damaged."""
        name = self.name(id)
        return Manifest.load(id, name, self.storage.get(name, MANIFEST_LIMIT), self.identities, self.key)

    def indexes(self) -> Sequence[Stored]:
        """The index objects, by name; other names there are passed over."""
        found = (item for item in self.storage.list("indexes") if names.is_hash(item.name.removeprefix("indexes/")))
        return sorted(found, key=attrgetter("name"))

    def load_table(self) -> SegmentTable:
        """Every segment that the indexes know; those that can't be used are left out and are in its `damaged`."""
        spared: list[Finding] = []
        while True:
            table = SegmentTable()
            if self._fill(table, spared):
                table.damaged = spared
                table.seal()
                return table

    def _fill(self, table: SegmentTable, spared: list[Finding]) -> bool:
        """Take in all indexes but the `spared` ones; False when one turned out to be bad that is half taken in."""
        bad = {finding.object for finding in spared}
        wanted = [stored for stored in self.indexes() if stored.name not in bad]
        for stored, found in read_ahead(wanted, lambda stored: self.storage.get(stored.name, INDEX_LIMIT)):
            begun = False
            with sparing(self.storage, stored.name, spared):
                data = found.result()
                check_name(stored.name, data)
                begun = True
                table.add_index(index_lines(data, self.identities, self.key, stored.name), stored.name)
                begun = False
            if begun:
                return False
        return True

    def name(self, id: BackupId) -> str:
        """The name of a backup's manifest; `RepositoryError` when there is none."""
        for known, name in self.names():
            if known == id:
                return name
        raise RepositoryError(f"The repository {self.storage.place} has no backup {id}", next="See `propolis list`")
