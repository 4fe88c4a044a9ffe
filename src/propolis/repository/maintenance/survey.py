"""Looks at every object of a repository and tells which are not what they should be.

`check` turns what was found into a report, `repair` mends it. Nothing here writes.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.access.keyring import KeyRing
from propolis.repository.format.damage import Finding, reason, sparing
from propolis.repository.format.entries import BackupId
from propolis.repository.format.index import index_lines
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.names import (
    INDEX_LIMIT,
    MANIFEST_LIMIT,
    SMALL_LIMIT,
    check_name,
    pack_name,
)
from propolis.repository.format.table import PackContents, SegmentTable
from propolis.repository.io.parallel import side_by_side
from propolis.repository.model import Observer, Stats
from propolis.repository.read.packs import PackOpener, check_pack
from propolis.repository.read.segments import check_segment
from propolis.repository.records.marks import read_marks
from propolis.repository.records.verdicts import ask
from propolis.repository.repository import Repository
from propolis.repository.storage.kinds import KINDS, PACK_LIMIT, PARTS, QUARANTINE, VERDICTS
from propolis.repository.write.compose import load_part

QUARANTINE_DAYS = 30
"""A prune removes what a repair put in quarantine so much later."""
_SHOWN = 5
Choose = Callable[[list[str]], list[str]]
"""Of the packs' hashes, sorted, those whose bytes are to be read."""


@dataclass
class Survey:
    """What a look at every object found."""

    table: SegmentTable = field(default_factory=SegmentTable)
    """The segments of all whole indexes."""
    problems: dict[str, str] = field(default_factory=dict)
    """Key rings, indexes and manifests that are not what they should be, and why."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Objects that the storage holds and doesn't give."""
    packs: dict[str, str] = field(default_factory=dict)
    """Hashes of the packs that are missing or damaged, and why. Without a key also of packs nobody needs."""
    manifests: list[tuple[BackupId, str]] = field(default_factory=list)
    """All of them, oldest first."""
    remarks: list[str] = field(default_factory=list)
    """What is odd and harms no backup."""
    unchecked: list[str] = field(default_factory=list)
    """What could not be checked, and why."""
    key_rings: int = 0
    indexes: int = 0
    packs_seen: int = 0
    stats: Stats = field(default_factory=Stats)
    """`packs` and `read`: packs whose bytes were read."""
    opened: int = 0
    """Packs whose content was decrypted and compared segment by segment."""


def survey(repository: Repository, choose: Choose | None = None, observer: Observer | None = None) -> Survey:
    """Look at everything but the entries of manifests; `choose` tells which packs are read.

    Whatever is wrong with an object is in the result. Raises `RepositoryError` when the storage fails as a whole.
    """
    look = _Look(repository, observer)
    look.result.manifests = repository.names()  # first of all, since a backup stores its manifest last
    look.key_rings()
    look.indexes()
    if repository.has_key:
        look.marks()
    else:
        look.unopened_manifests()
    look.unfinished()
    listed = look.listing()
    if repository.storage.folder is not None:
        look.modes(repository.storage.folder.root)
    if choose is not None:
        look.read(choose(sorted(listed - look.result.packs.keys())))
    return look.result


def load_manifest(repository: Repository, found: Survey, id: BackupId, name: str) -> Manifest | None:
    """A manifest that is whole; otherwise None, and why in `found`."""
    with noting(repository, found, name):
        stored = repository.storage.get(name, MANIFEST_LIMIT)
        return Manifest.load(id, name, stored, repository.identities, repository.key)
    return None


@contextlib.contextmanager
def noting(repository: Repository, found: Survey, name: str) -> Iterator[None]:
    """For a `with` block that reads one object: what is wrong with it goes into the survey, and work goes on.

    Raises `RepositoryError` when the storage fails as a whole.
    """
    try:
        yield
    except IntegrityError as error:
        found.problems[name] = reason(repository.storage, error)
    except RepositoryError as error:
        found.unreadable[name] = reason(repository.storage, error)


class _Look:
    def __init__(self, repository: Repository, observer: Observer | None) -> None:
        self._repository, self._observer = repository, observer
        self._lock = threading.Lock()
        self.result = Survey()

    def key_rings(self) -> None:
        """Every key ring and its spare are there and whole, of this repository, written by a holder of its key."""
        storage, newest = self._repository.storage, self._repository.ring
        for kind in ("keys", "spare"):
            sequences = set()
            for name in self._listed(kind):
                sequences.add(int(name.partition("/")[2][:6]))
                self.result.key_rings += kind == "keys"
                with noting(self._repository, self.result, name):
                    data = storage.get(name, SMALL_LIMIT)
                    check_name(name, data)
                    self._key_ring(name, data, newest)
            what = "key ring" if kind == "keys" else "spare of a key ring"
            for missing in sorted(set(range(1, newest.sequence + 1)) - sequences):
                self.result.problems[f"{kind}/{missing:06d}"] = f"This {what} is missing"

    def _listed(self, kind: str) -> list[str]:
        """Names of this kind in its folder; what is wrong with the folder goes into the survey."""
        names: list[str] = []
        with noting(self._repository, self.result, f"{kind}/"):
            names = sorted(stored.name for stored in self._repository.storage.list(kind))
        return [name for name in names if KINDS[kind].names.fullmatch(name)]

    def _key_ring(self, name: str, data: memoryview, newest: KeyRing) -> None:
        try:
            ring = msgspec.json.decode(data, type=KeyRing)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise IntegrityError(f"It can't be understood: {error}") from None
        sequence = int(name.partition("/")[2][:6])
        if (ring.repository, ring.config) != (newest.repository, newest.config) or ring.sequence != sequence:
            raise IntegrityError("It is not a key ring of this repository, or not of this name")
        if self._repository.has_key:
            proof = self._repository.key.mac(b"keys\n", msgspec.json.encode(msgspec.structs.replace(ring, mac="")))
            if proof != ring.mac:
                raise IntegrityError("It was not written by a holder of the repository's key")

    def indexes(self) -> None:
        """Every index is whole and genuine, and what it says of packs adds up; they make the table."""
        for name in [item.name for item in self._repository.indexes()]:
            self.result.indexes += 1
            with noting(self._repository, self.result, name):
                stored = self._repository.storage.get(name, INDEX_LIMIT)
                check_name(name, stored)
                if self._repository.has_key:
                    self._take_index(name, stored)
        self.result.table.seal()
        if not self._repository.has_key:
            self.result.unchecked.append(
                "what indexes and manifests say, and so which packs backups need: without a key only stored bytes "
                "are compared with their names"
            )

    def _take_index(self, name: str, stored: memoryview) -> None:
        identities, key = self._repository.identities, self._repository.key
        own = SegmentTable()
        own.add_index(_adding_up(index_lines(stored, identities, key, name), name), name)  # proven when this returns
        for pack in own.packs:
            number = self.result.table.number(pack.hash)
            if number is not None and self.result.table.packs[number] != pack:
                raise IntegrityError(f"{name} describes {pack_name(pack.hash)} differently from another index")
        self.result.table.add_index(index_lines(stored, identities, key, name), name)

    def marks(self) -> None:
        """Every hold and every record of a verification is whole and genuine."""
        for findings in read_marks(self._repository).damaged.values():
            for finding in findings:
                self.result.problems[finding.object] = finding.what

    def unfinished(self) -> None:
        """Every part of a backup, and every verdict, is whole and genuine. Parts may go meanwhile."""
        storage, damaged = self._repository.storage, list[Finding]()
        parts = self._listed(PARTS)
        for name in parts:
            with sparing(storage, name, damaged):
                if self._repository.has_key:
                    load_part(self._repository, name).prove()
                else:
                    check_name(name, storage.get(name, MANIFEST_LIMIT))
        for name in self._listed(VERDICTS) if self._repository.has_key else ():
            with sparing(storage, name, damaged):
                ask(self._repository, name.partition("/")[2])
        self.result.problems |= {finding.object: finding.what for finding in damaged}
        if parts:
            self.result.remarks.append(
                f"{len(parts)} parts of backups of several hosts are there: {_some(parts)}. A prune removes those "
                "that became a backup, and after the grace period those that didn't"
            )

    def unopened_manifests(self) -> None:
        """Every manifest's bytes match its name; all that can be determined without a key."""
        for _, name in self.result.manifests:
            with noting(self._repository, self.result, name):
                check_name(name, self._repository.storage.get(name, MANIFEST_LIMIT))

    def listing(self) -> set[str]:
        """Every object has a name of this format; every pack is there with its size. The hashes of packs there."""
        table, sizes, strange, unknown = self.result.table, dict[str, int](), list[str](), [0, 0]
        aside = [0, 0]
        for stored in self._repository.storage.list(""):
            kind = stored.name.partition("/")[0]
            if kind in KINDS and not KINDS[kind].names.fullmatch(stored.name):
                strange.append(stored.name)
            elif kind == QUARANTINE:
                aside[0] += 1
                aside[1] += stored.size
            elif kind == "packs":
                digest = stored.name[-64:]
                sizes[digest] = stored.size
                if self._repository.has_key and table.number(digest) is None:
                    unknown[0] += 1
                    unknown[1] += stored.size
        self.result.packs_seen = len(sizes)
        if strange:
            self.result.remarks.append(
                f"{len(strange)} objects have names that this format doesn't know: {_some(strange)}"
            )
        if unknown[0]:
            self.result.remarks.append(
                f"{unknown[0]} packs ({unknown[1]} bytes) are in no index; an interrupted backup left them"
            )
        if aside[0]:
            self.result.remarks.append(
                f"{aside[0]} objects ({aside[1]} bytes) are in {QUARANTINE}/, where a repair moved them; a prune "
                f"removes them {QUARANTINE_DAYS} days later"
            )
        for pack in table.packs:
            size = sizes.get(pack.hash)
            if size is None:
                self.result.packs[pack.hash] = "It is missing"
            elif size != pack.stored:
                self.result.packs[pack.hash] = f"It has {size} bytes instead of {pack.stored}"
        return {digest for digest in sizes if not self._repository.has_key or table.number(digest) is not None}

    def modes(self, root: Path) -> None:
        """Only the owner may read or write; objects are regular files."""
        open_to_others = []
        for folder, folders, files in os.walk(root):
            for name in (*folders, *files):
                path = os.path.join(folder, name)  # noqa: PTH118 - many
                try:
                    mode = os.lstat(path).st_mode
                except FileNotFoundError:
                    continue  # a temporary object, or a lease
                relative = os.path.relpath(path, root)
                if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                    self.result.problems[relative] = "It is neither a file nor a folder"
                elif mode & 0o077:
                    open_to_others.append(relative)
        if open_to_others:
            self.result.remarks.append(
                f"{len(open_to_others)} files or folders are accessible to users other than their owner: "
                f"{_some(open_to_others)}; fix it with chmod -R go= {root}"
            )

    def read(self, digests: list[str]) -> None:
        """Read packs and compare their bytes with their names, and with a key that opens them every segment."""
        repository = self._repository
        if not repository.reads_packs:
            self.result.unchecked.append(
                "the content of packs: their stored bytes were compared with their names; give the recovery key "
                "(--identity) to decrypt them too"
            )
        contents = PackContents(self.result.table) if repository.reads_packs else None

        def make() -> Callable[[str], None]:
            return _PackReader(repository, self.result, contents, self._lock, self._observer).read

        side_by_side(digests, make)


class _PackReader:
    """Reads packs, for one thread."""

    def __init__(
        self,
        repository: Repository,
        found: Survey,
        contents: PackContents | None,
        lock: threading.Lock,
        observer: Observer | None,
    ) -> None:
        self._repository, self._found, self._contents = repository, found, contents
        self._lock, self._observer = lock, observer
        self._opener = PackOpener(repository.storage, repository.identities, found.stats)

    def read(self, digest: str) -> None:
        """Read one; what is wrong goes into the survey."""
        try:
            self._check(digest)
        except IntegrityError as error:
            with self._lock:
                self._found.packs[digest] = reason(self._repository.storage, error)
        except RepositoryError as error:
            what = reason(self._repository.storage, error)
            with self._lock:
                self._found.unreadable[pack_name(digest)] = what
        if self._observer is not None:
            self._observer(self._found.stats)

    def _check(self, digest: str) -> None:
        found = self._found
        number = found.table.number(digest)
        if number is None or self._contents is None:
            check_pack(self._repository.storage, digest, PACK_LIMIT, found.stats)
            return
        pack = found.table.packs[number]
        plain = self._opener.check_and_open(pack)
        for segment, offset, length in self._contents.of(number):
            check_segment(self._repository.key, plain, segment, offset, length, pack)
        with self._lock:
            found.opened += 1


def _adding_up(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Hand lines of an index on; raises `IntegrityError` unless each pack's segments fill it without gaps."""
    plain = filled = 0
    try:
        for line in lines:
            fields = line.split(b"\t")
            if fields[0] == b"p":
                if filled != plain:
                    raise ValueError
                plain, filled = int(fields[3]), 0
            else:
                if int(fields[2]) != filled:
                    raise ValueError
                filled += int(fields[3])
            yield line
        if filled != plain:
            raise ValueError
    except (ValueError, IndexError):
        raise IntegrityError(f"{name} is damaged: the segments of a pack don't add up") from None


def _some(names: list[str]) -> str:
    return ", ".join(sorted(names)[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
