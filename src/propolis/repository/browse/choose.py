"""Which entries of a backup a person means by the paths that they give."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from propolis.errors import UsageError
from propolis.filesystem.paths import given, shown
from propolis.repository.format.entries import Entry
from propolis.repository.format.manifest import Manifest

_GLOB = re.compile(rb"[*?\[]")
_MOST_NAMES = 20_000
"""Names that are compared with a mistyped one."""
_MOST, _LIKENESS = 3, 0.6


def is_glob(text: str) -> bool:
    """Whether it holds `*`, `?` or `[`."""
    return _GLOB.search(os.fsencode(text)) is not None


def glob(pattern: bytes, *, separated: bool = True) -> re.Pattern[bytes]:
    """What matches a pattern: `*` any bytes within a name, `**` also across folders, `?` one byte, `[a-z]`, `[!a-z]`.

    Not `separated`: `*` and `?` match a slash, too. Raises `UsageError`.
    """
    found, at = [], 0
    any_byte = rb"[^/]" if separated else rb"."
    while at < len(pattern):
        here = pattern[at : at + 1]
        at += 1
        if here == b"*":
            deep = pattern[at : at + 1] == b"*"
            at += deep
            found.append(rb".*" if deep else any_byte + b"*")
        elif here == b"?":
            found.append(any_byte)
        elif here == b"[":
            end = pattern.find(b"]", at + 1 + (pattern[at : at + 1] == b"!"))
            if end < 0:
                found.append(rb"\[")
                continue
            inside = pattern[at:end].replace(b"\\", rb"\\").replace(b"[", rb"\[")
            found.append(b"[" + (b"^" + inside[1:] if inside[:1] == b"!" else inside.replace(b"^", rb"\^", 1)) + b"]")
            at = end + 1
        else:
            found.append(re.escape(here))
    try:
        return re.compile(b"".join(found), re.DOTALL)
    except re.error as error:
        raise UsageError(f"{os.fsdecode(pattern)!r} is not a pattern: {error}") from None


@dataclass
class Chosen:
    """What one path of the command line means: a file, a folder with all below it, or a pattern of such."""

    text: str
    files: int = 0
    """What it was found to mean: files and objects, links, and their size."""
    links: int = 0
    folders: int = 0
    size: int = 0

    def __post_init__(self) -> None:
        text = self.text.rstrip("/")
        self._exact = {os.fsencode(text), given(text)}
        self._below = tuple(path + b"/" for path in self._exact)
        self._glob = re.compile(glob(given(text)).pattern + rb"(?:/.*)?", re.DOTALL) if is_glob(text) else None

    @property
    def found(self) -> bool:
        """Whether the backup has it."""
        return bool(self.files or self.links or self.folders)

    def means(self, label: bytes) -> bool:
        """Whether an entry is meant; `label` is `tree/path`, or the tree itself."""
        if label in self._exact or label.startswith(self._below):
            return True
        return self._glob is not None and self._glob.fullmatch(label) is not None

    def count(self, entry: Entry) -> None:
        """One more entry that it means."""
        if entry.type == "d":
            self.folders += 1
        elif entry.type in "fo":
            self.files += 1
            self.size += entry.size
        else:
            self.links += 1


def label_of(tree: str, path: bytes) -> bytes:
    """How an entry is called on the command line."""
    return tree.encode() if path == b"." else tree.encode() + b"/" + path


def suggestions(manifest: Manifest, missing: Sequence[Chosen]) -> list[str]:
    """What may be meant by the first of the paths that the backup lacks; up to three."""
    wanted = given(missing[0].text.strip("/"))
    trees = [tree.name for tree in manifest.header.trees]
    originals = {tree.name: tree.original.rstrip("/").encode() + b"/" for tree in manifest.header.trees}
    for tree in trees:
        begin = tree.encode() + b"/"
        if wanted.startswith(begin):
            return _like(manifest, tree, wanted[len(begin) :].split(b"/"))
    # A path within one of the trees, or one on the host.
    whole = [
        label_of(entry.tree, entry.path)
        for entry in manifest.entries()
        if entry.path == wanted or originals.get(entry.tree, b"") + entry.path == b"/" + wanted
    ]
    parts = shown(wanted).split("/")
    close = difflib.get_close_matches("/".join(parts[:2]), trees, _MOST, _LIKENESS)
    return [shown(label) for label in whole[:_MOST]] or [
        "/".join([shown(tree.encode()), *parts[2:]]) for tree in close
    ]


def _like(manifest: Manifest, tree: str, parts: list[bytes]) -> list[str]:
    """Names like the first one of a path that the backup lacks, in the folder that it has."""
    above = {b"/".join(parts[:depth]) for depth in range(len(parts))}
    there = (entry.path for entry in manifest.entries(tree) if entry.type == "d" and entry.path in above)
    folder = max(there, key=len, default=b"")
    begin = folder + b"/" if folder else b""
    names: dict[str, None] = {}
    for entry in manifest.entries(tree):
        if entry.path.startswith(begin) and entry.path != b"." and len(names) < _MOST_NAMES:
            names[shown(entry.path[len(begin) :].partition(b"/")[0])] = None
    lacking = parts[begin.count(b"/")]
    close = difflib.get_close_matches(shown(lacking), list(names), _MOST, _LIKENESS)
    return [shown(label_of(tree, begin)) + name for name in close]
