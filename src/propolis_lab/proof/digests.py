"""Sets of things made comparable: their number and a sum of their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from propolis_lab import http
from propolis_lab.errors import LabError

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Digest:
    """A set of things, without regard to their order."""

    count: int
    value: str

    def __str__(self) -> str:
        return f"{self.count} · {self.value[:12]}"


def digest(items: Iterable[_Item], form: Callable[[_Item], str], count: int | None = None) -> Digest:
    """Sum of the items' hashes: the order in which a server returns them does not matter."""
    total = 0
    number = 0
    for item in items:
        number += 1
        total += int.from_bytes(hashlib.blake2b(form(item).encode(), digest_size=16).digest(), "big")
    return Digest(number if count is None else count, f"{total % 2**128:032x}")


def of_names(entries: Mapping[str, str]) -> Digest:
    """Names with what they stand for."""
    return digest(entries.items(), repr)


def canonical(value: object) -> str:
    """The same text for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def decoded(answer: http.Answer) -> Any:
    """An index server's answer. Raises LabError if that is an error."""
    if answer.status >= 400:
        raise LabError(f"The index answers {answer.status}: {answer.text[:300]}")
    return answer.json()


def shown(value: object) -> str:
    """A value in a table."""
    return "missing" if value is None else "yes" if value is True else "no" if value is False else str(value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path in it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _sha256(path) for path in found}
