"""Writes one backup: what changed since its parent is read and stored, then the manifest."""

from __future__ import annotations

import collections
import functools
import os
import socket
import time
from binascii import unhexlify
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from propolis import __version__
from propolis.errors import IncompleteError, RepositoryError
from propolis.repository.index import SEGMENT_ID, SegmentTable
from propolis.repository.intake import Intake, ObjectPiece, Pending, Piece
from propolis.repository.layout import FORMAT, utc_now, utc_text
from propolis.repository.limits import NO_LIMITS, Limits
from propolis.repository.locks import Lease
from propolis.repository.manifest import Manifest, ParentCursor, format_entry, object_extra
from propolis.repository.model import (
    Altered,
    BackupId,
    BackupSummary,
    Entry,
    Facts,
    Header,
    ObjectMeta,
    ObjectSource,
    Observer,
    Stats,
    TreeHeader,
    TreeKind,
)
from propolis.repository.publish import Publisher
from propolis.repository.scan import Exclude, Found, group_name, user_name, walk
from propolis.repository.text import TextWriter, escape, unescape

if TYPE_CHECKING:
    from propolis.repository.repository import Repository

_BATCH_FILES = 256
_AHEAD = 50_000
_MOST_WORKERS = 3
"""Each takes some 50 MB at most."""
_SHOWN = 10
LAST_REREAD = "last_reread"
"""The fact that tells when everything was last read."""

InodeOf = Callable[[str], int | None] | Mapping[str, int]
"""The original's inode for a path relative to the folder; None: the same as the one there; 0: unknown, then inodes
aren't compared."""


class Writer:
    """One backup in the making, under a shared lease. For a `with` block; without `commit` nothing is recorded."""

    def __init__(
        self,
        repository: Repository,
        stack: str,
        parent: Manifest | None,
        unreadable_parents: list[str],
        observer: Observer | None = None,
        workers: int | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.stats = Stats()
        """Live counters."""
        self.reread = parent is None
        """Whether everything is read, whatever the times say; to be set before the first tree."""
        self.altered = Altered()
        """What was found changed by reading, although its times say that it didn't change."""
        self._repository = repository
        self._stack = stack
        self._parent = parent
        self._parent_id = parent.id if parent else None
        last = parent.header.facts.get(LAST_REREAD) if parent else None
        self._last_reread = last if isinstance(last, str) else None
        self._unreadable_parents = unreadable_parents
        self._observer = observer
        self._limits = limits
        self._workers = workers or max(2, min(_MOST_WORKERS, os.cpu_count() or 2))
        self._started = utc_text(utc_now())
        self._text = TextWriter(repository.key)
        self._waiting: collections.deque[bytes | Pending] = collections.deque()
        self._batch: list[Piece | ObjectPiece] = []
        self._batch_bytes = 0
        self._trees: list[TreeHeader] = []
        self._unread: list[str] = []
        self._lease = Lease(repository.storage, "shared")
        self._publisher = Publisher(repository, self.stats, self._lease)
        self._committed = False
        self._ahead: dict[tuple[str, bytes], tuple[ObjectMeta, Pending]] = {}

    @property
    def last_reread(self) -> str | None:
        """When everything was last read, as the parent tells (UTC, `2026-11-23T22:45:00Z`); None where it doesn't."""
        return self._last_reread

    @property
    def parent(self) -> BackupId | None:
        """The backup whose unchanged files are not read again."""
        return self._parent_id

    def __enter__(self) -> Writer:
        self._lease.__enter__()
        try:
            self._table: SegmentTable = self._repository.load_table()
            self._cursor = ParentCursor(self._parent) if self._parent else None
            self._publisher.begin(self._table, self._parent)
            ring = self._repository.ring
            self._intake = Intake(
                self._repository.storage,
                self._repository.info,
                self._repository.key,
                ring.pack_recipients(),
                self._table,
                self.stats,
                self._observer,
                self._publisher.add,
                self._workers,
                self._limits,
            )
        except BaseException:
            self._lease.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._committed:
                self._intake.abandon()
                self._publisher.keep_for_next_time()
        finally:
            self._lease.__exit__(kind, error, trace)

    def add_folder(
        self,
        store: str,
        tree: str,
        folder: Path,
        original: Path,
        inode_of: InodeOf | None = None,
        exclude: Exclude | None = None,
    ) -> TreeHeader:
        """Take in a folder (usually a clone of `original`) as a tree.

        A file that the parent has with the same path, size, modification time and inode is not read.
        Raises `RepositoryError`; what can't be read is named by `commit`.
        """
        count = self._begin(store, tree, "folder", str(original))
        inode: Callable[[str], int | None] | None = None
        if inode_of is not None:
            inode = inode_of if callable(inode_of) else functools.partial(_look_up, inode_of)
        root = os.fsencode(folder)
        try:
            for found in walk(root, exclude):
                self._add_found(count, root, found, inode)
        except OSError as error:
            self._unread.append(f"{os.fsdecode(error.filename or root)} ({error.strerror})")
        return self._end(count)

    def store_ahead(self, tree: str, source: ObjectSource) -> None:
        """Store what a bucket holds now, so that `add_bucket` has little left to read when it counts.

        Nothing of it is recorded in the manifest, and what vanishes meanwhile does no harm. Returns when all is read.
        """
        if self._cursor:
            self._cursor.start(tree)
        for meta in source.list():
            key = meta.key.encode()
            if self.reread or self._same_object(key, meta) is None:
                pending = Pending(b"", b"\t-", 0)
                pending.expect_one()
                self._ahead[tree, key] = meta, pending
                self._enqueue(ObjectPiece(pending, source, meta, ahead=True))
        self._hand_out()
        for _, pending in self._ahead.values():
            self._wait_for(pending)

    def add_bucket(self, store: str, tree: str, source: ObjectSource, original: str) -> TreeHeader:
        """Take in a bucket as a tree. One whose key, size, etag and time the parent has is not read."""
        count = self._begin(store, tree, "bucket", original)
        for meta in source.list():
            self._add_object(count, source, meta)
        return self._end(count)

    def commit(self, facts: Facts) -> BackupSummary:
        """Store all that is open, then the manifest: only now the backup exists.

        Raises `IncompleteError` naming what could not be read whole; then no backup is recorded.
        """
        self._hand_out()
        self._intake.finish()
        self._drain(wait=True)
        # No longer needed, and large: room for the manifest's last steps.
        self._parent = self._cursor = None
        unread = self._unread + self._intake.unread
        if unread:
            more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
            raise IncompleteError(
                f"{len(unread)} of the backup's files could not be read whole: {', '.join(unread[:_SHOWN])}{more}",
                left="No backup was recorded",
                next="Back up from a clone or with the services stopped; see to files that can't be read",
            )
        self._publisher.finish()
        summary = self._write_manifest(facts)
        self._committed = True
        return summary

    def _write_manifest(self, facts: Facts) -> BackupSummary:
        more: dict[str, Any] = dict(facts.facts)
        last = self._started if self.reread else self._last_reread
        if last is not None:
            more[LAST_REREAD] = last
        if self.altered.count:
            more["altered"] = {"files": self.altered.count, "named": self.altered.named}
        if self._unreadable_parents:
            more["unreadable_parents"] = self._unreadable_parents
        header = Header(
            format=FORMAT,
            stack=self._stack,
            kind=facts.kind,
            host=socket.gethostname(),
            started=facts.started or self._started,
            ended="",
            propolis=__version__,
            parent=self._parent_id,
            services=dict(facts.services),
            trees=self._trees,
            facts=more,
        )
        return self._publisher.write_manifest(header, self._text)

    # -- trees -----------------------------------------------------------------------------------------------

    def _begin(self, store: str, tree: str, kind: TreeKind, original: str) -> _Count:
        if any(known.name == tree for known in self._trees):
            raise RepositoryError(f"The backup has a tree {tree!r} already")
        if self._cursor:
            self._cursor.start(tree)
        return _Count(tree, escape(tree.encode()), store, kind, original)

    def _end(self, count: _Count) -> TreeHeader:
        header = TreeHeader(
            count.name, count.store, count.kind, count.original, count.entries, count.files, count.bytes
        )
        self._trees.append(header)
        self._drain(wait=False)
        return header

    def _add_found(
        self, count: _Count, root: bytes, found: Found, inode_of: Callable[[str], int | None] | None
    ) -> None:
        status = found.status
        original = None if inode_of is None else inode_of(os.fsdecode(found.path))
        inode = status.st_ino if original is None else original
        count.entries += 1
        size = status.st_size if found.kind == b"f" else 0
        before = b"%b\t%o\t%b\t%d\t%d\t%d\t%b\t%b\t" % (
            found.kind,
            status.st_mode & 0o7777,
            _owner(status.st_uid, status.st_gid),
            status.st_mtime_ns,
            size,
            inode,
            count.mark,
            escape(found.path),
        )
        if found.kind != b"f":
            target = os.readlink(root + b"/" + found.path) if found.kind == b"l" else b""  # noqa: PTH115 - bytes
            self._line(before + b"-\t" + escape(target))
            return
        self._seen(count, size)
        same = self._cursor.same(before) if self._cursor and not self.reread else None
        if same is not None and self._has(same[len(before) :].partition(b"\t")[0]):
            self.stats.unchanged += 1
            self._line(same)
            return
        known = self._unchanged(found.path, b"f", size, status.st_mtime_ns, inode)
        expected = b"" if known is None else known[11]
        if self.reread:
            known = None
        if known is not None:
            self.stats.unchanged += 1
        if known is not None or size == 0:
            self._line(before + (known[11] if known is not None else b"-") + b"\t-")
            return
        step = self._repository.info.segment_bytes
        pieces = -(-size // step)
        pending = Pending(before, b"\t-", pieces)
        pending.expected = expected
        self._waiting.append(pending)
        path = root + b"/" + found.path
        identity = (size, status.st_mtime_ns, status.st_ino)
        for number in range(pieces):
            offset = number * step
            self._enqueue(Piece(pending, number, path, offset, min(step, size - offset), identity))

    def _add_object(self, count: _Count, source: ObjectSource, meta: ObjectMeta) -> None:
        count.entries += 1
        key = meta.key.encode()
        entry = Entry(
            "o", 0, 0, 0, "", "", meta.last_modified_ns, meta.size, 0, count.name, key, b"", object_extra(meta)
        )
        self._seen(count, meta.size)
        known = self._same_object(key, meta)
        before = format_entry(entry).rsplit(b"\t", 2)[0] + b"\t"
        expected = b"" if known is None else known[11]
        if known is not None and not self.reread:
            self.stats.unchanged += 1
            self._line(before + known[11] + b"\t" + known[12])
            return
        seen, early = self._ahead.pop((count.name, key), (None, None))
        if seen == meta and early is not None and not early.lost:
            early.before, early.expected = before, expected
            self._waiting.append(early)
            return
        pending = Pending(before, b"\t-", 0)
        pending.expect_one()
        pending.expected = expected
        self._waiting.append(pending)
        self._enqueue(ObjectPiece(pending, source, meta))

    def _same_object(self, key: bytes, meta: ObjectMeta) -> list[bytes] | None:
        """The parent's fields when it has the same object."""
        known = self._unchanged(key, b"o", meta.size, meta.last_modified_ns, 0)
        return known if known is not None and meta.etag and _etag(known[12]) == meta.etag else None

    def _seen(self, count: _Count, size: int) -> None:
        count.files += 1
        count.bytes += size
        self.stats.files += 1  # only this thread counts these two
        self.stats.bytes += size

    def _unchanged(self, path: bytes, kind: bytes, size: int, mtime_ns: int, inode: int) -> list[bytes] | None:
        """The parent's fields when it has the same file, and the repository all of its segments."""
        fields = self._cursor.find(path) if self._cursor else None
        if fields is None or fields[0] != kind or int(fields[7]) != size or int(fields[6]) != mtime_ns:
            return None
        known_inode = int(fields[8])
        if inode and known_inode and inode != known_inode:
            return None
        return fields if self._has(fields[11]) else None

    def _has(self, segments: bytes) -> bool:
        """Whether the repository has all segments of an entry's field."""
        position = self._table.position
        if len(segments) == 2 * SEGMENT_ID:  # nearly always: one segment
            return position(unhexlify(segments)) is not None
        return segments == b"-" or all(position(unhexlify(part)) is not None for part in segments.split(b","))

    # -- lines and jobs --------------------------------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        if not self._waiting:
            self._record(line, inherited=True)
            return
        self._waiting.append(line)
        if len(self._waiting) >= _AHEAD:
            self._hand_out()
            self._drain(wait=True)

    def _enqueue(self, job: Piece | ObjectPiece) -> None:
        self._batch.append(job)
        self._batch_bytes += job.length if isinstance(job, Piece) else job.listed.size
        if self._batch_bytes >= self._repository.info.gather_bytes // 2 or len(self._batch) >= _BATCH_FILES:
            self._hand_out()
            self._drain(wait=False)

    def _hand_out(self) -> None:
        if self._batch:
            self._intake.put(self._batch)
            self._batch = []
            self._batch_bytes = 0

    def _drain(self, *, wait: bool) -> None:
        """Move finished lines to the manifest, in order; `wait` for all of them."""
        while self._waiting:
            first = self._waiting[0]
            if isinstance(first, Pending):
                if wait:
                    self._wait_for(first)
                if not first.ready:
                    return
                line = first.line()
                self._compare(first, line)
            else:
                line = first
            self._record(line, inherited=line is first)
            self._waiting.popleft()

    def _record(self, line: bytes, *, inherited: bool) -> None:
        """The only way of a line to the manifest: what it refers to is to be locked. `inherited`: from the parent."""
        self._publisher.refer(line, inherited=inherited)
        self._text.add(line)

    def _compare(self, pending: Pending, line: bytes) -> None:
        """Note a file that isn't what its times promised; one that could not be read is told of by `commit`."""
        if pending.expected and line[len(pending.before) :].partition(b"\t")[0] != pending.expected:
            fields = pending.before.split(b"\t")
            name = unescape(fields[9]) + b"/" + unescape(fields[10])
            self.altered.add(name.decode("utf-8", "backslashreplace"))

    def _wait_for(self, pending: Pending) -> None:
        while not pending.ready:
            self._intake.check()
            time.sleep(0.002)


class _Count:
    """A tree while it is taken in."""

    def __init__(self, name: str, mark: bytes, store: str, kind: TreeKind, original: str) -> None:
        self.name, self.mark, self.store, self.kind, self.original = name, mark, store, kind, original
        self.entries = self.files = self.bytes = 0


@functools.lru_cache(maxsize=4096)
def _owner(uid: int, gid: int) -> bytes:
    """An entry's fields for its owner: numbers, and names on this host."""
    user, group = (escape(name.encode("utf-8", "surrogateescape")) for name in (user_name(uid), group_name(gid)))
    return b"%d\t%d\t%b\t%b" % (uid, gid, user, group)


def _look_up(inodes: Mapping[str, int], path: str) -> int:
    return inodes.get(path, 0)


def _etag(field: bytes) -> str:
    from propolis.repository.text import unescape

    try:
        return msgspec.json.decode(unescape(field), type=ObjectMeta).etag
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
