"""Writes one backup: what changed since its parent is read and stored, then the manifest."""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Container, Iterable
from pathlib import Path
from types import TracebackType

import msgspec

from propolis.clock import utc_now, utc_text
from propolis.errors import RepositoryError
from propolis.filesystem.unkept import Unkept
from propolis.repository.access.leases import Lease
from propolis.repository.format.entries import (
    SEGMENTS,
    BackupId,
    Entry,
    Header,
    TreeHeader,
    TreeKind,
    content_of,
    format_entry,
    hole,
    object_extra,
)
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.rules import MOST_PIECES
from propolis.repository.format.table import SegmentTable
from propolis.repository.format.text import TextWriter, escape, unescape
from propolis.repository.io.limits import NO_LIMITS, Limits
from propolis.repository.model import Altered, BackupSummary, Facts, ObjectSource, Observer, Stats
from propolis.repository.repository import Repository
from propolis.repository.write.ahead import StoredAhead
from propolis.repository.write.folder_entries import CantKeep, FolderEntries, InodeOf, Line
from propolis.repository.write.heading import LAST_REREAD, header_of, names_of, require_all_read
from propolis.repository.write.intake import NO_ATTRIBUTES, Intake, ObjectPiece, Pending, Piece
from propolis.repository.write.parent import Parent
from propolis.repository.write.publish import Publisher
from propolis.repository.write.scan import Exclude, Found, cut, walk
from propolis.repository.write.tree_count import TreeCount
from propolis.s3.objects import ObjectMeta

_BATCH_FILES = 256
_AHEAD = 50_000
_MOST_WORKERS = 3
"""Each takes some 50 MB at most."""


class Writer:
    """One backup in the making, under a shared lease. For a `with` block; without `commit`, or `finish_part`,
    nothing is recorded."""

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
        self._ahead: dict[str, StoredAhead] = {}
        """By tree."""

    @property
    def last_reread(self) -> str | None:
        """When everything was last read, as the parent tells (UTC, `2026-11-23T22:45:00Z`); None where it doesn't."""
        return self._last_reread

    @property
    def parent(self) -> BackupId | None:
        """The backup whose unchanged files are not read again."""
        return self._parent_id

    @property
    def remarks(self) -> list[str]:
        """What could not be used of the repository, so that more is read and stored anew. Known once it is open."""
        found = [f"Backup {id} can't be read, so this backup is not based on it" for id in self._unreadable_parents]
        damaged = self._table.damaged
        return found + [f"{item.what} ({item.object}): data that only it lists is stored again" for item in damaged]

    def __enter__(self) -> Writer:
        self._lease.__enter__()
        try:
            self._table: SegmentTable = self._repository.load_table()
            self._known = Parent(self._parent, self._table)
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
        linked: Container[int] | None = None,
        unkept: Iterable[Unkept] = (),
    ) -> TreeHeader:
        """Take in a folder (usually a clone of `original`) as a tree.

        A file that the parent has with the same path, size, modification time and inode is not read. In a clone by
        hard links, every file has two names at least: `linked` holds the inodes of those that had several before.
        `unkept` is what the clone left out. What can't be kept is counted in the tree's header.
        Raises `RepositoryError`; what can't be read is named by `commit`.
        """
        count = self._begin(store, tree, "folder", str(original))
        root = os.fsencode(folder)
        entries = FolderEntries(root, count.mark, inode_of, linked, unkept)
        try:
            for found in walk(root, exclude):
                try:
                    line = entries.line(found)
                    if line is not None:
                        self._add_line(count, root + b"/" + found.path, found, line)
                except CantKeep as problem:
                    self._unread.append(f"{os.fsdecode(root + b'/' + found.path)} (it has {problem})")
                except OSError as error:
                    self._unread.append(f"{os.fsdecode(root + b'/' + found.path)} ({error.strerror})")
        except OSError as error:
            self._unread.append(f"{os.fsdecode(error.filename or root)} ({error.strerror})")
        return self._end(count, entries)

    def store_ahead(self, tree: str, source: ObjectSource) -> None:
        """Store what a bucket holds now, so that `add_bucket` has little left to read when it counts.

        Nothing of it is recorded in the manifest, and what vanishes meanwhile does no harm. Returns when all is read.
        """
        self._known.start(tree)
        stored = self._ahead[tree] = StoredAhead()
        for meta in source.list():
            if self.reread or self._known.object(meta.key.encode(), meta) is None:
                pending = Pending(b"", b"\t-" + NO_ATTRIBUTES, 0)
                pending.expect_one()
                stored.begin(meta, pending)
                self._enqueue(ObjectPiece(pending, source, meta, ahead=True))
        self._hand_out()
        while (reading := stored.settle()) is not None:
            self._wait_for(reading)

    def add_bucket(self, store: str, tree: str, source: ObjectSource, original: str) -> TreeHeader:
        """Take in a bucket as a tree. One whose key, size, etag and time the parent has is not read."""
        count = self._begin(store, tree, "bucket", original)
        for meta in source.list():
            problem = count.object_problem(meta)
            if problem is not None:
                self._unread.append(f"{meta.key} ({problem})")
                continue
            self._add_object(count, source, meta)
        return self._end(count)

    def commit(self, facts: Facts) -> BackupSummary:
        """Store all that is open, then the manifest: only now the backup exists.

        Raises `IncompleteError` naming what could not be read whole; then no backup is recorded.
        """
        self._complete()
        summary = self._publisher.write_manifest(self._header(facts), self._text)
        self._committed = True
        return summary

    def finish_part(self, run: str, host: str, facts: Facts) -> str:
        """`commit` for one of several hosts: seal what it contributes to the backup of that run; the part's name.

        The backup exists once the coordinator has made a manifest of all parts.
        """
        self._complete()
        self._trees = [msgspec.structs.replace(tree, host=host) for tree in self._trees]
        name = self._publisher.write_part(run, host, self._header(facts), self._text)
        self._committed = True
        return name

    def _complete(self) -> None:
        self._hand_out()
        self._intake.finish()
        self._drain(wait=True)
        # No longer needed, and large: room for the manifest's last steps.
        self._parent = None
        del self._known
        require_all_read(self._unread + self._intake.unread)
        self._publisher.finish()

    def _header(self, facts: Facts) -> Header:
        return header_of(
            self._stack,
            facts,
            self._started,
            self._parent_id,
            self._trees,
            last_reread=self._started if self.reread else self._last_reread,
            altered=self.altered,
            unreadable_parents=self._unreadable_parents,
            unreadable_indexes=names_of(self._table.damaged),
        )

    # -- trees -----------------------------------------------------------------------------------------------

    def _begin(self, store: str, tree: str, kind: TreeKind, original: str) -> TreeCount:
        if any(known.name == tree for known in self._trees):
            raise RepositoryError(f"The backup has a tree {tree!r} already")
        self._known.start(tree)
        return TreeCount(tree, escape(tree.encode()), store, kind, original)

    def _end(self, count: TreeCount, folder: FolderEntries | None = None) -> TreeHeader:
        header = count.header(folder)
        self._trees.append(header)
        self._drain(wait=False)
        return header

    def _add_line(self, count: TreeCount, path: bytes, found: Found, line: Line) -> None:
        count.entries += 1
        before, after = line.before, line.after
        if not line.has_content:
            self._line(before + b"-" + after)
            return
        size = line.size
        self._seen(count, size)
        segments = self._known.segments(found.path, line, found.status.st_mtime_ns)
        if segments is not None and not self.reread:
            self.stats.unchanged += 1
            if b"h" in segments:
                count.holes += sum(piece for piece in content_of(segments) if isinstance(piece, int))
            self._line(before + segments + after)
            return
        if size == 0:
            self._line(before + b"-" + after)
            return
        pieces = list(cut(path, found.status, self._repository.info.segment_bytes))
        if len(pieces) > MOST_PIECES:
            raise CantKeep(f"{len(pieces)} pieces")
        pending = Pending(before, after, sum(not empty for *_, empty in pieces))
        pending.expected = segments or b""
        pending.segments = [hole(length) if empty else b"" for _, length, empty in pieces]
        self._waiting.append(pending)
        identity = (size, found.status.st_mtime_ns, found.status.st_ino)
        for number, (offset, length, empty) in enumerate(pieces):
            if empty:
                count.holes += length
            else:
                self._enqueue(Piece(pending, number, path, offset, length, identity))

    def _add_object(self, count: TreeCount, source: ObjectSource, meta: ObjectMeta) -> None:
        count.entries += 1
        key = meta.key.encode()
        entry = Entry(
            "o", 0, 0, 0, "", "", meta.last_modified_ns, meta.size, 0, count.name, key, b"", object_extra(meta)
        )
        self._seen(count, meta.size)
        known = self._known.object(key, meta)
        before = format_entry(entry).rsplit(b"\t", 3)[0] + b"\t"
        expected = b"" if known is None else known[SEGMENTS]
        if known is not None and not self.reread:
            self.stats.unchanged += 1
            self._line(before + known[SEGMENTS] + b"\t" + known[SEGMENTS + 1] + NO_ATTRIBUTES)
            return
        ahead = self._ahead.get(count.name)
        pending = ahead.line(before, key, meta) if ahead is not None else None
        if pending is None:
            pending = Pending(before, b"\t-" + NO_ATTRIBUTES, 0)
            pending.expect_one()
            self._enqueue(ObjectPiece(pending, source, meta))
        pending.expected = expected
        self._wait_in_line(pending)
        self._drain(wait=False)

    def _seen(self, count: TreeCount, size: int) -> None:
        count.files += 1
        count.bytes += size
        self.stats.files += 1  # only this thread counts these two
        self.stats.bytes += size

    # -- lines and jobs --------------------------------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        if not self._waiting:
            self._record(line, inherited=True)
            return
        self._wait_in_line(line)

    def _wait_in_line(self, line: bytes | Pending) -> None:
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
