"""Checks a whole repository: every object, and what each finding costs which backup."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from propolis.errors import IntegrityError, UsageError
from propolis.repository.crypto.recipients import AnyKey
from propolis.repository.format.config import DamagedConfig
from propolis.repository.format.entries import BackupId, Entry, segment_ids
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.names import CONFIG, pack_name
from propolis.repository.format.rules import BackupRules, label
from propolis.repository.maintenance.survey import Survey, load_manifest, survey
from propolis.repository.model import Observer
from propolis.repository.read.segments import positions
from propolis.repository.records.absent import absent
from propolis.repository.records.marks import read_marks
from propolis.repository.repository import Repository
from propolis.repository.storage.base import Storage

_EXAMPLES = 20
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_PART = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True)
class ReadData:
    """Which packs' bytes a check reads: `percent` of them by chance, or the `part`-th of `parts` shares.

    Which share a pack is in follows from its name, so that checks of all shares, on different days, read every pack.
    """

    percent: float = 100.0
    part: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> ReadData:
        """`all`, `n%` or `n/t`; raises `UsageError`."""
        percent, part = _PERCENT.fullmatch(text), _PART.fullmatch(text)
        if text == "all":
            return cls()
        if percent and 0 < float(percent[1]) <= 100:
            return cls(percent=float(percent[1]))
        if part and 1 <= int(part[1]) <= int(part[2]):
            return cls(part=int(part[1]), parts=int(part[2]))
        raise UsageError(
            f"{text!r} is not an amount of data", next="Give all, a share like 10%, or one of several parts like 2/7"
        )

    def choose(self, digests: list[str]) -> list[str]:
        """Those of the packs that are to be read; at least one of any."""
        if self.parts > 1:
            return [digest for digest in digests if int(digest[:12], 16) % self.parts == self.part - 1]
        if self.percent < 100 and digests:
            count = min(len(digests), max(1, round(len(digests) * self.percent / 100)))
            return sorted(random.SystemRandom().sample(digests, count))
        return digests


@dataclass(frozen=True)
class Hit:
    """A backup that a finding harms."""

    backup: BackupId
    files: int
    """Its files and objects that can't be restored whole; 0: none of it can."""
    examples: tuple[str, ...]
    """Some of them, as `tree/path`."""


@dataclass(frozen=True)
class CheckFinding:
    """One thing that is wrong in a repository."""

    object: str
    """The object's name."""
    what: str
    hits: tuple[Hit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check looked at and found. Only `ok` may be called a success, and only for what is not `unchecked`."""

    place: str
    key_rings: int
    indexes: int
    backups: int
    packs: int
    """Packs there."""
    packs_read: int
    """Packs whose stored bytes were read and compared with their name."""
    stored_bytes_read: int
    packs_decrypted: int
    """Packs of which every segment was decrypted and compared with its ID too."""
    findings: tuple[CheckFinding, ...]
    remarks: tuple[str, ...]
    """What is odd and harms no backup."""
    unchecked: tuple[str, ...]
    """What could not be checked, and why."""

    @property
    def ok(self) -> bool:
        """Nothing was found wrong."""
        return not self.findings


def check(
    storage: Storage,
    identities: Sequence[AnyKey],
    *,
    read_data: ReadData | None = None,
    observer: Observer | None = None,
    remembered: Mapping[BackupId, str] | None = None,
) -> CheckResult:
    """Check a whole repository; look at `ok` of the result.

    The structure of everything is checked: key rings, indexes, manifests with every entry, presence and size of every
    pack, names and modes; with `read_data` the bytes of packs too. Without identities, that is, keys, what is stored
    is compared with its name, and the result says what that leaves open. `remembered`: backups that must be there,
    and how that is known. To be called under a shared lease.
    Raises `RepositoryError` when the repository can't be reached or the identities don't fit it.
    """
    try:
        repository = Repository(storage, identities)
    except IntegrityError as error:
        finding = CheckFinding(CONFIG if isinstance(error, DamagedConfig) else "keys", error.what)
        left = "everything else: without the objects that describe it, nothing in a repository can be understood"
        return CheckResult(
            place=storage.place,
            key_rings=0,
            indexes=0,
            backups=0,
            packs=0,
            packs_read=0,
            stored_bytes_read=0,
            packs_decrypted=0,
            findings=(finding,),
            remarks=(),
            unchecked=(left,),
        )
    found = survey(repository, read_data.choose if read_data else None, observer)
    if read_data is None:
        found.unchecked.append("the bytes of packs: give --read-data to read them")
    losses = losses_of(repository, found) if repository.has_key else Losses(found)
    findings = [*losses.findings(), *(_missing(repository, found, remembered or {}) if repository.has_key else ())]
    return CheckResult(
        place=storage.place,
        key_rings=found.key_rings,
        indexes=found.indexes,
        backups=len(found.manifests),
        packs=found.packs_seen,
        packs_read=found.stats.packs,
        stored_bytes_read=found.stats.read,
        packs_decrypted=found.opened,
        findings=tuple(findings),
        remarks=tuple(found.remarks),
        unchecked=tuple(found.unchecked),
    )


def _missing(repository: Repository, found: Survey, remembered: Mapping[BackupId, str]) -> Iterator[CheckFinding]:
    """Backups that must be there and aren't; notes what is odd about the others' times."""
    listing = repository.listing()
    found.remarks += [backup.clock for backup in listing.backups if backup.clock]
    missing, unread = absent(repository, listing.backups, read_marks(repository), remembered)
    for finding in unread:
        yield CheckFinding(finding.object, finding.what)
    for finding in missing:
        kind, _, id = finding.object.partition("/")
        if kind == "manifests":  # the survey tells of key rings
            yield CheckFinding(finding.object, finding.what, (Hit(BackupId(id), 0, ()),))
    if not listing.backups and not listing.damaged and found.indexes:
        found.remarks.append(
            f"There is no backup, but there are {found.indexes} indexes: either a first backup was interrupted, or "
            "manifests/ was lost"
        )


class Losses:
    """What every backup loses by what a survey found."""

    def __init__(self, found: Survey) -> None:
        self.found = found
        self._hits: dict[str, dict[BackupId, _Count]] = {}
        self._wrong: list[CheckFinding] = []

    def lose(self, object: str, backup: BackupId, entry: Entry) -> None:
        """A file of a backup can't be restored because of this object."""
        count = self._hits.setdefault(object, {}).setdefault(backup, _Count())
        count.files += 1
        if len(count.examples) < _EXAMPLES:
            count.examples.append(label(entry))

    def wrong(self, backup: BackupId, name: str, what: str) -> None:
        """A genuine manifest breaks a rule of the format, so that the backup, or a tree of it, is not restored."""
        self._wrong.append(CheckFinding(name, what, (Hit(backup, 0, ()),)))

    def findings(self) -> Iterator[CheckFinding]:
        """Everything wrong, with what it costs."""
        ids = {name: id for id, name in self.found.manifests}
        for name, what in sorted((self.found.problems | self.found.unreadable).items()):
            hits = (Hit(ids[name], 0, ()),) if name in ids else self.of(name)
            yield CheckFinding(name, what, hits)
        for digest, what in sorted(self.found.packs.items()):
            yield CheckFinding(pack_name(digest), what, self.of(pack_name(digest)))
        for name in sorted(name for name in self._hits if name.startswith("manifests/")):
            yield CheckFinding(name, "It needs segments that no index knows", self.of(name))
        yield from self._wrong

    def of(self, object: str) -> tuple[Hit, ...]:
        """What is lost by one object."""
        found = self._hits.get(object, {})
        return tuple(Hit(id, count.files, tuple(count.examples)) for id, count in sorted(found.items()))


class _Count:
    def __init__(self) -> None:
        self.files = 0
        self.examples: list[str] = []


def losses_of(repository: Repository, found: Survey) -> Losses:
    """Read every manifest, entry by entry, and tell what breaks a rule and what is lost with damaged packs."""
    losses = Losses(found)
    bad = {found.table.number(digest): pack_name(digest) for digest in found.packs}
    bad |= {found.table.number(name[-64:]): name for name in found.unreadable if name.startswith("packs/")}
    for id, name in found.manifests:
        manifest = load_manifest(repository, found, id, name)
        if manifest is None:
            continue
        try:
            _check_entries(manifest, found, bad, losses)
        except IntegrityError as error:
            losses.wrong(id, name, error.what)
    return losses


def _check_entries(manifest: Manifest, found: Survey, bad: dict[int | None, str], losses: Losses) -> None:
    rules = BackupRules(manifest.header)
    for entry in manifest.entries():
        rules.take(entry)
        if entry.type not in "fo":
            continue
        segments = segment_ids(entry.segments, manifest.name)
        known = [found.table.find(segment) for segment in segments]
        if None in known:
            losses.lose(manifest.name, manifest.id, entry)
            continue
        positions(found.table, entry)
        for name in {bad[place.pack] for place in known if place is not None and place.pack in bad}:
            losses.lose(name, manifest.id, entry)
    for tree in rules.trees():
        tree.end()
