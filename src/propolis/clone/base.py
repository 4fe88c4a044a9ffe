"""What every clone method offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Method(StrEnum):
    """How a folder is cloned, best first."""

    REFLINK = "reflink"
    HARDLINK = "hardlink"
    COPY = "copy"


Immutable = Callable[[str], bool]
"""Says of a path relative to the cloned folder ("a/b/c") whether the file never changes in place once its service stopped.

Anything a rule doesn't know must be False: then its bytes are copied.
"""


@dataclass(frozen=True)
class CloneReport:
    """What one clone took."""

    source: Path
    clone: Path
    method: Method
    files: int
    bytes_shared: int
    bytes_copied: int
    seconds: float
