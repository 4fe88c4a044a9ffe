"""What the repository takes and gives: plain values and the Protocols callers implement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from propolis.filesystem.unkept import Unkept
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId, Header
from propolis.s3.objects import ObjectMeta
from propolis.structs import read_in_threads


class ObjectSource(Protocol):
    """A bucket to back up."""

    def list(self) -> Iterator[ObjectMeta]:
        """All objects, in any order (bytewise by key is fastest); content type and metadata may be empty."""
        ...

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        """Full metadata, and the bytes as buffers."""
        ...


class ObjectSink(Protocol):
    """A bucket to restore into."""

    def put(self, meta: ObjectMeta, chunks: Iterable[Any]) -> None:
        """Store an object of `meta.size` bytes with its content type and metadata."""
        ...


@dataclass(frozen=True)
class Facts:
    """What the caller of `Writer.commit` tells about the restore point."""

    kind: Literal["cold", "hot"] = "cold"
    started: str = ""
    """UTC, as `2026-11-23T22:45:00Z`; empty: when the writer was opened."""
    services: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Stats:
    """Counts of one run; every counter only grows. Bytes are bytes."""

    files: int = 0
    """Files and objects seen or restored."""
    bytes: int = 0
    """Their size."""
    unchanged: int = 0
    """Files known from the parent and therefore not read."""
    read: int = 0
    """Bytes read from the source, or fetched from the repository."""
    new: int = 0
    """Plain bytes the repository did not have."""
    stored: int = 0
    """Bytes written to the repository (compressed and encrypted)."""
    packs: int = 0
    """Packs written, or read."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: int) -> None:
        """Add to several counters at once; safe from any thread."""
        with self.lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


@dataclass
class Altered:
    """Files that were read anew and hold something else than their size and times promised.

    Something wrote to them in place and set the time back, or the disk lost what it held.
    """

    count: int = 0
    named: list[str] = field(default_factory=list)
    """The first of them, as `tree/path`."""

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.named) < ALTERED_NAMED:
            self.named.append(name)


ALTERED_NAMED = 20
"""So many are named."""

Observer = Callable[[Stats], None]
"""Called now and then, from any thread, with the run's live counters. It must be quick and must not raise."""


@read_in_threads
class Hold(msgspec.Struct, frozen=True):
    """Somebody wants a backup to be kept, whatever the rules say."""

    backup: str
    """Its ID."""
    reason: str
    at: str
    """UTC, as `2026-11-23T22:45:00Z`."""
    by: str
    """User and host."""


@read_in_threads
class Verification(msgspec.Struct, frozen=True):
    """A backup was verified, and with which result."""

    backup: str
    """Its ID."""
    level: str
    """`manifest`, `sample` or `full`."""
    ok: bool
    decrypted: bool
    """Whether content was checked, too, beside stored bytes."""
    at: str
    """UTC, as `2026-11-23T22:45:00Z`."""
    by: str
    """User and host."""
    refutes: list[str] = []
    """Of a full success: names of the failures that there were before it, whatever their clocks said."""


@dataclass(frozen=True)
class BackupSummary:
    """One line of `propolis list`."""

    id: BackupId
    header: Header
    manifest_bytes: int
    """Stored size of the manifest."""
    verification: Verification | None = None
    """The verification that counts; None when there was none, or when it wasn't asked for."""
    holds: tuple[Hold, ...] = ()
    """Who wants it kept, if asked for."""
    time: str = ""
    """When it was made, as far as that can be known: UTC, as `2026-11-23T22:45:00Z`. Mostly `header.ended`."""
    clock: str = ""
    """What is to be said when its host's clock was wrong."""

    @property
    def files(self) -> int:
        """Files and objects in the backup."""
        return sum(tree.files for tree in self.header.trees)

    @property
    def bytes(self) -> int:
        """Their size in bytes."""
        return sum(tree.bytes for tree in self.header.trees)


VerifyLevel = Literal["manifest", "sample", "full"]


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """What `verify` checked and what it found. Only `ok` may be called a success."""

    id: BackupId
    level: VerifyLevel
    files: int
    """Files and objects in the backup."""
    bytes: int
    packs: int
    """Packs the backup needs; each was found and has its expected size unless a finding says otherwise."""
    packs_read: int
    """Packs whose stored bytes were read and compared with their name."""
    stored_bytes_read: int
    decrypted: bool
    """Whether the packs read were also decrypted, and every segment's and file's content checked."""
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    """What somebody should know and harms not this backup: other damage, a lease that could not be taken."""
    hosts: tuple[str, ...] = ()
    """The hosts of a backup of several."""

    @property
    def ok(self) -> bool:
        """Nothing was found wrong."""
        return not self.findings


@dataclass(frozen=True, kw_only=True)
class RestoreResult:
    """What a restore of one tree wrote."""

    tree: str
    files: int
    """Files or objects."""
    directories: int
    symlinks: int
    bytes: int
    packs: int
    """Packs fetched."""
    links: int = 0
    """Hard links: further names of files."""
    unkept: tuple[Unkept, ...] = ()
    """What the backup holds and the target did not get."""
