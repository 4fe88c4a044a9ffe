"""Finds lost segments again: in damaged packs, in packs that no index knows, and in the stack's own files.

Whatever is found has the segment's ID, or it isn't taken; so nothing here needs to be trusted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import zstandard
from blake3 import blake3

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.crypto import age
from propolis.repository.format.entries import Entry, segment_ids
from propolis.repository.format.index import Pack, PackedSegments
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.names import MAX_SEGMENT_BYTES, hash_name, pack_name
from propolis.repository.format.rules import safe_parts
from propolis.repository.format.table import PackContents, SegmentTable
from propolis.repository.io.direct import buffer
from propolis.repository.io.inflate import inflated
from propolis.repository.io.stream import Stream
from propolis.repository.model import ObjectSource
from propolis.repository.read.target import Folders
from propolis.repository.repository import Repository
from propolis.repository.storage.kinds import PACK_LIMIT
from propolis.repository.write.scan import cut

Sources = Mapping[str, Path | ObjectSource]
"""tree → where what it holds may still be: a folder or a bucket of the stack"""
Wanted = dict[bytes, int]
"""Segments that are lost so far, and their lengths; 0 where that is not known."""
Take = Callable[[bytes, memoryview], None]
"""Called with a segment found and its bytes, valid only meanwhile."""
_ZSTD = b"\x28\xb5\x2f\xfd"


def from_damaged_pack(
    repository: Repository, table: SegmentTable, contents: PackContents, number: int, wanted: Wanted, take: Take
) -> None:
    """Take the segments of a damaged pack whose bytes are still whole. Needs an identity that opens packs."""
    pack = table.packs[number]
    name = pack_name(pack.hash)
    try:
        stored = repository.storage.get(name, PACK_LIMIT)
        plain = buffer(pack.plain)
        if pack.codec == "plain":
            for _ in age.open_intact(stored, pack.stored, repository.identities, plain, name):
                pass
        else:
            _inflate(age.open_pieces(Stream.of(stored), repository.identities, name, whole=False), plain)
    except (IntegrityError, RepositoryError):
        return  # nothing in it can be read
    for segment, offset, length in contents.of(number):
        data = plain[offset : offset + length]
        if segment in wanted and repository.key.segment_id(data) == segment:
            take(segment, data)


def from_unknown_pack(
    repository: Repository, digest: str, wanted: Wanted, table: SegmentTable, take: Take
) -> PackedSegments | None:
    """Find out what a whole pack that no index knows holds. Needs an identity that opens packs.

    A pack doesn't tell where its segments begin, but manifests tell how long they are. Gives the pack's description
    when all of it was recognised, so that it can be made known as it is; otherwise takes what was.
    """
    name = pack_name(digest)
    try:
        stored = repository.storage.get(name, PACK_LIMIT)
        if hash_name(stored) != digest:
            return None
        plain = buffer(len(stored))
        plain = plain[: age.open_into(Stream.of(stored), repository.identities, plain, name)]
    except (IntegrityError, RepositoryError):
        return None
    lengths = sorted(set(wanted.values()) - {0})
    if bytes(plain[:4]) == _ZSTD:
        inflated = buffer(MAX_SEGMENT_BYTES)
        size = _inflate(age.slices(plain), inflated)
        found = list(_recognised(repository.key.raw, inflated[:size], lengths, wanted, table))
        if found:
            return _described(Pack(digest, len(stored), size, "zstd"), inflated, found, wanted, take)
    found = list(_recognised(repository.key.raw, plain, lengths, wanted, table))
    return _described(Pack(digest, len(stored), len(plain), "plain"), plain, found, wanted, take)


def from_stack(
    manifest: Manifest, segment_bytes: int, sources: Sources, wanted: Wanted, take: Take, key: Callable[..., bytes]
) -> None:
    """Take lost segments of a backup's files from where those files were, if they are still there unchanged.

    `key` names segments (`RepositoryKey.segment_id`). Paths are walked without following links.
    """
    roots: dict[str, int] = {}
    try:
        for entry in manifest.entries():
            source = sources.get(entry.tree)
            if source is None or entry.type not in "fo":
                continue
            ids = segment_ids(entry.segments, manifest.name)
            if not any(segment in wanted for segment in ids):
                continue
            pieces: Iterator[memoryview]
            if isinstance(source, Path):
                if entry.tree not in roots:
                    roots[entry.tree] = _root(source)
                pieces = _file_pieces(roots[entry.tree], entry, segment_bytes)
            else:
                pieces = _object_pieces(source, entry, segment_bytes)
            for segment, data in zip(ids, pieces, strict=False):
                if segment in wanted and key(data) == segment:
                    take(segment, data)
    finally:
        for root in roots.values():
            if root >= 0:
                os.close(root)


def _inflate(pieces: Iterator[memoryview], out: memoryview) -> int:
    """Decompress into `out` as far as it goes; the number of bytes."""
    done = 0
    try:
        with inflated(pieces, MAX_SEGMENT_BYTES) as reader:
            while done < len(out):
                count = reader.readinto(out[done : done + (64 << 10)])
                if not count:
                    break
                done += count
    except (zstandard.ZstdError, IntegrityError):
        return done  # what came before the damage is whole; its segments are compared with their IDs
    return done


def _recognised(
    key: bytes, plain: memoryview, lengths: list[int], wanted: Wanted, table: SegmentTable
) -> Iterator[tuple[bytes, int, int]]:
    """(ID, offset, length) of one segment after the other, as far as their lengths are known."""
    offset = 0
    while offset < len(plain):
        hasher, done = blake3(key=key), 0
        for length in lengths:
            if offset + length > len(plain):
                return
            hasher.update(plain[offset + done : offset + length])
            done = length
            segment = hasher.digest()
            if wanted.get(segment) == length or table.find(segment) is not None:
                break
        else:
            return
        yield segment, offset, length
        offset += length


def _described(
    pack: Pack, plain: memoryview, found: list[tuple[bytes, int, int]], wanted: Wanted, take: Take
) -> PackedSegments | None:
    if sum(length for _, _, length in found) == pack.plain:
        return PackedSegments(pack, found)
    for segment, offset, length in found:
        if segment in wanted:
            take(segment, plain[offset : offset + length])
    return None


def _root(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1  # the stack lacks this folder, so nothing can be had from it


def _file_pieces(root: int, entry: Entry, step: int) -> Iterator[memoryview]:
    """A file's pieces as a backup cuts them, for as long as they can be read."""
    if root < 0:
        return
    safe_parts(entry.path, "an entry")
    folders = Folders(root)
    file = -1
    try:
        parent, name = folders.of(entry.path)
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
            return
        for offset, length, empty in cut(file, status, step):
            if not empty:
                yield memoryview(os.pread(file, length, offset))
    except OSError:
        return  # it is gone, or can't be read: nothing can be had from it
    finally:
        folders.close()
        if file >= 0:
            os.close(file)


def _object_pieces(source: ObjectSource, entry: Entry, step: int) -> Iterator[memoryview]:
    """The same of an object."""
    try:
        _, chunks = source.open_object(entry.path.decode(errors="replace"))
    except FileNotFoundError:
        return
    piece = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        while len(piece) + len(view) >= step:
            room = step - len(piece)
            yield memoryview(bytes(piece) + bytes(view[:room]))
            piece.clear()
            view = view[room:]
        piece += view
    if piece:
        yield memoryview(piece)
