"""What a restore is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from propolis.config.schema import Config


@dataclass(frozen=True)
class RestoreRequest:
    """What is to be restored, and where.

    `source` names the repository; `target` is the stack that receives the data, the same as `source` unless the
    restore goes elsewhere. `stores` empty: all that fit. `identity` is the file with the recovery key. `at`: from the
    repository as it was then.
    """

    source: Config
    target: Config
    backup: str
    identity: Path | None = None
    stores: tuple[str, ...] = ()
    at: datetime | None = None
    without: tuple[str, ...] = ()
    """Optional sections whose services aren't restored; `target` has none of them."""
    set_password: bool = False
    """Give roles and users that come with the data this host's passwords, where theirs differ."""
    keep_days: int = 0
    """For how many days what is replaced is kept; 0: it is dropped once the restored stack passed its checks."""
    replace_indices: tuple[str, ...] = ()
    """Indices of others that may be replaced although they aren't in the backup, or are newer; names or UUIDs."""
    replace_keyspaces: tuple[str, ...] = ()
    """The same for keyspaces."""
    hosts: Mapping[str, str] | None = None
    """Where several hosts restore together: this stack's host → the backup's whose data it gets."""

    @property
    def is_woven(self) -> bool:
        """Whether this is one host's part of a restore."""
        return self.hosts is not None
