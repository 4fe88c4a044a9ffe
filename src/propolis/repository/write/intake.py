"""Workers of a backup: read, hash, gather into packs, compress, encrypt, store.

Each worker owns its buffers, so memory is bounded by their number. Reading, hashing, compressing, encrypting and
storing all run in native code with the interpreter lock released.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from propolis.errors import PropolisError
from propolis.repository.crypto.identities import Recipient
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.format.config import RepositoryInfo
from propolis.repository.format.entries import object_extra
from propolis.repository.format.index import PackedSegments
from propolis.repository.format.table import SegmentTable
from propolis.repository.format.text import escape
from propolis.repository.io import direct
from propolis.repository.io.direct import buffer
from propolis.repository.io.limits import NO_LIMITS, Limits, Pace, rank_last
from propolis.repository.model import ObjectSource, Observer, Stats
from propolis.repository.storage.base import Storage
from propolis.repository.write.packing import Packer
from propolis.s3.objects import ObjectMeta

NO_ATTRIBUTES = b"\t-"
"""The end of an entry's line."""


class Pending:
    """A manifest line whose segments are not all known yet."""

    __slots__ = ("_lock", "_missing", "after", "before", "expected", "lost", "segments")

    def __init__(self, before: bytes, after: bytes, count: int) -> None:
        self.before = before
        self.after = after
        self.segments: list[bytes] = [b""] * count
        """As they stand in the line; holes among them."""
        self.expected = b""
        """The field of segments that it should turn out to have, if that is known."""
        self.lost = False
        """What it stands for could not be read."""
        self._missing = count
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether every segment is known (or was given up)."""
        return self._missing <= 0

    def set(self, number: int, segment: bytes) -> None:
        """The ID of one segment."""
        self.segments[number] = segment.hex().encode()
        with self._lock:
            self._missing -= 1

    def expect_one(self) -> None:
        """Wait for one `finish`, whatever the number of segments."""
        self._missing = 1

    def finish(self) -> None:
        """Nothing more comes."""
        self._missing = 0

    def line(self) -> bytes:
        """The whole line."""
        return self.before + (b",".join(self.segments) or b"-") + self.after


class Piece(msgspec.Struct):
    """A part of a file, read as one segment."""

    pending: Pending
    number: int
    path: bytes
    offset: int
    length: int
    identity: tuple[int, int, int]
    """size, mtime_ns and inode that the file has to have before and after"""


class ObjectPiece(msgspec.Struct):
    """A whole object of a bucket."""

    pending: Pending
    source: ObjectSource
    listed: ObjectMeta
    ahead: bool = False
    """Read before the list that counts was taken: that it vanishes or changes does no harm."""


class Intake:
    """The workers and what they share."""

    def __init__(
        self,
        storage: Storage,
        info: RepositoryInfo,
        key: RepositoryKey,
        recipients: Sequence[Recipient],
        table: SegmentTable,
        stats: Stats,
        observer: Observer | None,
        packed: Callable[[PackedSegments], None],
        workers: int,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.storage, self.info, self.key, self.recipients = storage, info, key, recipients
        self.table, self.stats, self.observer, self.packed = table, stats, observer, packed
        self.unread: list[str] = []
        """What could not be read whole, with the reason."""
        self._failure: BaseException | None = None
        self._limits = limits
        self._upload = Pace(limits.upload)
        self._jobs: queue.Queue[Sequence[Piece | ObjectPiece] | None] = queue.Queue(2 * workers)
        self._threads = [
            threading.Thread(target=self._work, name=f"intake-{number}", daemon=True) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, jobs: Sequence[Piece | ObjectPiece]) -> None:
        """Hand out work; waits while the workers have enough. Raises what a worker raised."""
        self._offer(jobs)
        self.check()

    def check(self) -> None:
        """Raise what a worker raised."""
        if self._failure is not None:
            raise self._failure

    def pace(self, size: int) -> None:
        """Wait until so many bytes may be sent, or the backup is given up."""
        self._upload.wait(size, lambda: self._failure is not None)

    def finish(self) -> None:
        """Wait until everything handed out is stored; raises what a worker raised."""
        for _ in self._threads:
            self._offer(None)
        for thread in self._threads:
            thread.join()
        self.check()

    def abandon(self) -> None:
        """Stop without storing what is still open."""
        if self._failure is None:
            self._failure = PropolisError("The backup was abandoned")
        for thread in self._threads:
            while thread.is_alive():
                self._offer(None)
                thread.join(0.05)

    def _offer(self, jobs: Sequence[Piece | ObjectPiece] | None) -> None:
        while any(thread.is_alive() for thread in self._threads):
            try:
                self._jobs.put(jobs, timeout=0.2)
                return
            except queue.Full:
                continue

    def _work(self) -> None:
        try:
            if self._limits.background:
                rank_last()
            worker = _Worker(self)
            while self._failure is None:
                jobs = self._jobs.get()
                if jobs is None:
                    worker.flush()
                    return
                for job in jobs:
                    if isinstance(job, Piece):
                        worker.take_piece(job)
                    else:
                        worker.take_object(job)
                if self.observer is not None:
                    self.observer(self.stats)
        except BaseException as error:
            if self._failure is None:
                self._failure = error


class _Worker:
    def __init__(self, shared: Intake) -> None:
        self._shared = shared
        info = shared.info
        self._large = buffer(info.segment_bytes)
        self._packer = Packer(
            shared.storage, shared.recipients, info.gather_bytes, info.segment_bytes, self._stored, shared.pace
        )

    def take_piece(self, piece: Piece) -> None:
        """Read a part of a file and store it unless it is known."""
        room = self._packer.room(piece.length)
        target = self._large if room is None else room
        problem = _read(piece, target)
        if problem:
            self._shared.unread.append(f"{os.fsdecode(piece.path)} ({problem})")
            piece.pending.finish()
            return
        self._shared.stats.add(read=piece.length)
        piece.pending.set(piece.number, self._keep(target[: piece.length]))

    def take_object(self, job: ObjectPiece) -> None:
        """Read an object and store it unless it is known."""
        listed = job.listed
        size = self._shared.info.segment_bytes
        segments = []
        try:
            meta, chunks = job.source.open_object(listed.key)
            filled = 0
            for chunk in _sliced(chunks, size):
                if filled + len(chunk) > size:
                    room = size - filled
                    self._large[filled:size] = chunk[:room]
                    segments.append(self._keep(self._large))
                    chunk, filled = chunk[room:], 0
                self._large[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
            done = filled + size * len(segments)
            if filled:
                segments.append(self._keep(self._large[:filled]))
        except FileNotFoundError:
            return self._lost_object(job, "it vanished while it was read")
        if done != listed.size or meta.size != listed.size or meta.etag != listed.etag:
            return self._lost_object(job, "it changed while it was read")
        self._shared.stats.add(read=done)
        job.pending.segments = [segment.hex().encode() for segment in segments]
        job.pending.after = b"\t" + escape(object_extra(meta)) + NO_ATTRIBUTES
        job.pending.finish()
        return None

    def flush(self) -> None:
        """Store the packs in the making."""
        self._packer.flush()

    def _lost_object(self, job: ObjectPiece, problem: str) -> None:
        if not job.ahead:
            self._shared.unread.append(f"{job.listed.key} ({problem})")
        job.pending.lost = True
        job.pending.finish()

    def _keep(self, data: memoryview) -> bytes:
        """Store plain bytes that the repository lacks; their ID."""
        shared = self._shared
        segment = shared.key.segment_id(data)
        if shared.table.claim(segment):
            shared.stats.add(new=len(data))
            self._packer.add(segment, data)
        return segment

    def _stored(self, packed: PackedSegments) -> None:
        self._shared.stats.add(packs=1, stored=packed.pack.stored)
        self._shared.packed(packed)
        if self._shared.observer is not None:
            self._shared.observer(self._shared.stats)


def _sliced(chunks: Iterator[Any], size: int) -> Iterator[memoryview]:
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), size):
            yield view[start : start + size]


def _read(piece: Piece, target: memoryview) -> str:
    """Read the piece to the beginning of `target`; a reason when that was not possible."""
    try:
        file = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return "it vanished while it was read"
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    try:
        if direct.read(file, target, piece.length, piece.offset) < piece.length:
            return "it changed while it was read"
        status = os.fstat(file)
        if (status.st_size, status.st_mtime_ns, status.st_ino) != piece.identity:
            return "it changed while it was read"
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    finally:
        os.close(file)
    return ""
