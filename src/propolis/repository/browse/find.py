"""In which backups a file lies: by the last part of its path, or by the SHA-256 of its bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from blake3 import blake3

from propolis.errors import IntegrityError
from propolis.filesystem.paths import given
from propolis.repository.browse.choose import glob, is_glob
from propolis.repository.browse.diff import Fields
from propolis.repository.format.damage import Finding, sparing
from propolis.repository.format.entries import SEGMENTS, BackupId
from propolis.repository.format.manifest import Manifest
from propolis.repository.format.text import escape, unescape
from propolis.repository.model import BackupSummary
from propolis.repository.repository import Repository

SHA256 = re.compile(r"[0-9a-fA-F]{64}")
SHORTEST_BEGINNING = 4
"""Letters of a name from which on its beginning is enough."""
_SIZE, _TREE, _PATH, _EXTRA = 7, 9, 10, 12
_FILES = (b"f", b"h", b"l", b"o")
_File = tuple[str, str, bytes]
"""Stack, tree and path."""


@dataclass
class Run:
    """Backups, one after the other, that have one path with one content."""

    newest: BackupId
    oldest: BackupId
    backups: int
    size: int
    """Of the file, in bytes."""
    content: bytes = b""
    """The same for the same content: of no meaning outside."""


@dataclass
class FoundFile:
    """One path, and where it lies."""

    stack: str
    tree: str
    path: bytes
    runs: list[Run] = field(default_factory=list)
    """Newest first."""


@dataclass
class FindResult:
    """What was looked through, and what was found."""

    text: str
    how: str
    """`name`: a file is called so; `beginning`: its name begins so; `content`: its bytes have this SHA-256."""
    searched: int
    """Backups that were looked through."""
    files: list[FoundFile]
    left_out: int = 0
    """Further paths that were found, and aren't listed."""
    damaged: list[Finding] = field(default_factory=list)
    """Backups that could not be looked through."""
    remarks: list[str] = field(default_factory=list)
    contents_read: int = 0
    """Different contents whose SHA-256 was computed."""


class Matches:
    """Gathers what is found in one backup after the other, newest first."""

    def __init__(self, limit: int | None) -> None:
        """`limit`: how many paths are kept, None for all."""
        self._limit = limit
        self._files: dict[_File, FoundFile] = {}
        self._more: set[int] = set()
        self._stack = ""
        self._places: dict[str, int] = {}
        """The present backup's place among those of its stack."""
        self._last: dict[_File, int] = {}
        """The place of the last backup in which a file was found."""

    def backup(self, stack: str) -> None:
        """Go on to the next older backup."""
        self._stack = stack
        self._places[stack] = self._places.get(stack, 0) + 1

    def add(self, id: BackupId, tree: str, path: bytes, size: int, content: bytes) -> None:
        """A file found in the present backup."""
        name, place = (self._stack, tree, path), self._places[self._stack]
        found = self._files.get(name)
        if found is None:
            if self._limit is not None and len(self._files) >= self._limit:
                self._more.add(hash(name))
                return
            found = self._files[name] = FoundFile(*name)
        run = found.runs[-1] if found.runs else None
        if run is not None and self._last[name] == place - 1 and run.content == content:
            run.oldest = id
            run.backups += 1
        else:
            found.runs.append(Run(id, id, 1, size, content))
        self._last[name] = place

    @property
    def files(self) -> list[FoundFile]:
        """By stack, tree and path."""
        return [self._files[name] for name in sorted(self._files)]

    @property
    def left_out(self) -> int:
        """How many paths were found beyond the limit."""
        return len(self._more)


@dataclass(frozen=True)
class Name:
    """What a file may be called: exactly so, by a pattern, or beginning so."""

    text: str
    beginning: bool = False

    def needle(self) -> bytes:
        """What every line has that is meant, as it stands in a manifest: nearly all others are passed over by it."""
        text = os.fsencode(self.text)
        if text != given(self.text):
            return b""
        if is_glob(self.text):
            return _escaped(max(re.split(rb"[*?]+", text.partition(b"[")[0]), key=len))
        return _escaped(text)

    def matcher(self) -> Callable[[bytes], bool]:
        """Whether a path's last part is meant."""
        wanted = {os.fsencode(self.text), given(self.text)}
        if is_glob(self.text):
            pattern = glob(given(self.text))
            return lambda name: name in wanted or pattern.fullmatch(name) is not None
        if self.beginning:
            return lambda name: name.startswith(tuple(wanted))
        return lambda name: name in wanted


def find_name(
    repository: Repository,
    backups: Sequence[BackupSummary],
    text: str,
    stores: Collection[str] = (),
    limit: int | None = None,
) -> FindResult:
    """Look for a name in these backups, given newest last; where nothing is called so, for what begins so.

    Raises `RepositoryError` when the storage fails as a whole, `UsageError` for a pattern that is none.
    """
    exact, begun = Matches(limit), Matches(limit)
    result = FindResult(text, "name", 0, [])
    may_begin = not is_glob(text) and len(text) >= SHORTEST_BEGINNING
    wide = Name(text, beginning=may_begin)
    needle, is_exact, is_wide = wide.needle(), Name(text).matcher(), wide.matcher()

    def wanted(fields: Fields) -> bool:
        return is_wide(unescape(fields[_PATH]).rpartition(b"/")[2])

    for id, manifest in readable(repository, backups, result):
        exact.backup(manifest.header.stack)
        begun.backup(manifest.header.stack)
        for fields in _resolved(manifest, matching(manifest, needle, wanted, stores)):
            path = unescape(fields[_PATH])
            target = exact if is_exact(path.rpartition(b"/")[2]) else begun
            _add(target, id, fields)
    found = exact if exact.files or not begun.files else begun
    result.how = "name" if found is exact else "beginning"
    result.files, result.left_out = found.files, found.left_out
    return result


def find_segments(
    repository: Repository,
    backups: Sequence[BackupSummary],
    contents: Collection[bytes],
    result: FindResult,
    stores: Collection[str] = (),
    limit: int | None = None,
) -> None:
    """Look for files made of these segments (an entry's field), and put them into the result."""
    matches = Matches(limit)
    needle = next(iter(contents)) if len(contents) == 1 else b""
    for id, manifest in readable(repository, backups, result):
        matches.backup(manifest.header.stack)
        for fields in matching(manifest, needle, lambda fields: fields[SEGMENTS] in contents, stores):
            _add(matches, id, fields)
    result.files, result.left_out = matches.files, matches.left_out


def readable(
    repository: Repository, backups: Sequence[BackupSummary], result: FindResult
) -> Iterator[tuple[BackupId, Manifest]]:
    """Their manifests, newest first; those that can't be read are named in the result."""
    result.searched = 0
    names = dict(repository.names())
    known = {finding.object for finding in result.damaged}
    for summary in reversed(backups):
        name = names.get(summary.id)
        if name is None or name in known:
            if name is None:
                result.remarks.append(f"Backup {summary.id} was removed in the meantime")
            continue
        manifest = None
        with sparing(repository.storage, name, result.damaged):
            manifest = repository.manifest(summary.id)
        if manifest is not None:
            result.searched += 1
            yield summary.id, manifest


def matching(
    manifest: Manifest, needle: bytes, wanted: Callable[[Fields], bool], stores: Collection[str]
) -> Iterator[Fields]:
    """The files of a backup that are `wanted`; every line of such a one has the needle."""
    trees = {escape(tree.name.encode()) for tree in manifest.header.trees if not stores or tree.store in stores}
    for line in manifest.lines():
        if needle in line:
            fields = line.split(b"\t")
            if len(fields) <= _EXTRA:
                raise IntegrityError(f"{manifest.name} is damaged: an entry can't be understood")
            if fields[0] in _FILES and fields[_TREE] in trees and wanted(fields):
                yield fields


def _resolved(manifest: Manifest, found: Iterator[Fields]) -> list[Fields]:
    """The same; further names of a file have that file's size and segments."""
    files = list(found)
    links = {(fields[_TREE], fields[_EXTRA]) for fields in files if fields[0] == b"h"}
    if not links:
        return files
    firsts: dict[tuple[bytes, bytes], Fields] = {}
    for line in manifest.lines():
        fields = line.split(b"\t")
        if len(fields) > _EXTRA and fields[0] == b"f" and (fields[_TREE], fields[_PATH]) in links:
            firsts[fields[_TREE], fields[_PATH]] = fields
    for fields in files:
        first = firsts.get((fields[_TREE], fields[_EXTRA])) if fields[0] == b"h" else None
        if first is not None:
            fields[_SIZE], fields[SEGMENTS], fields[_EXTRA] = first[_SIZE], first[SEGMENTS], b"-"
    return files


def _add(matches: Matches, id: BackupId, fields: Fields) -> None:
    size = int(fields[_SIZE]) if fields[_SIZE].isdigit() and len(fields[_SIZE]) < 20 else 0
    target = fields[_EXTRA] if fields[0] == b"l" else b""
    content = blake3(b"\t".join((fields[_SIZE], fields[SEGMENTS], target))).digest(16)
    matches.add(id, unescape(fields[_TREE]).decode(errors="replace"), unescape(fields[_PATH]), size, content)


def _escaped(part: bytes) -> bytes:
    """Part of a path as it stands in a line."""
    return escape(b"/" + part)[1:]
