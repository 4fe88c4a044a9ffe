"""Counts and names what a backup or a restore can't keep, so that nothing vanishes without a word."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import msgspec

EXAMPLES = 20
"""Paths named of each kind; the count is of all."""


class Unkept(msgspec.Struct, frozen=True):
    """One kind of thing that was not kept."""

    what: str
    """In the plural, such as `sockets`."""
    count: int
    examples: list[str] = []
    """Paths of some of them."""

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.examples) else ""
        return f"{self.count} {self.what}: {', '.join(self.examples)}{more}"


class Tally:
    """Counts what is not kept, by kind. Safe from any thread."""

    def __init__(self, first: Iterable[Unkept] = ()) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        for item in first:
            self.join(item)

    def add(self, what: str, path: str) -> None:
        """One more of this kind."""
        self.join(Unkept(as_text(what), 1, [as_text(path)]))

    def join(self, more: Unkept) -> None:
        """What another one counted."""
        with self._lock:
            self._counts[more.what] = self._counts.get(more.what, 0) + more.count
            examples = self._examples.setdefault(more.what, [])
            examples.extend(more.examples[: EXAMPLES - len(examples)])

    def all(self) -> list[Unkept]:
        """All kinds, by name."""
        with self._lock:
            return [Unkept(what, count, self._examples[what]) for what, count in sorted(self._counts.items())]


def special_kind(mode: int) -> str:
    """What a file is called that is no directory, file or link, by its `st_mode`."""
    import stat

    if stat.S_ISSOCK(mode):
        return "sockets"
    return "pipes" if stat.S_ISFIFO(mode) else "devices"


def as_text(name: str) -> str:
    """A name as Python has it, with bytes that are no text escaped, so that it can be written anywhere."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def below(folder: str, items: Iterable[Unkept]) -> list[Unkept]:
    """The same with paths that begin with `folder`."""
    return [Unkept(item.what, item.count, [f"{folder}/{path}" for path in item.examples]) for item in items]


def joined(groups: Iterable[Iterable[Unkept]]) -> list[Unkept]:
    """Several lists as one."""
    return Tally(item for group in groups for item in group).all()
