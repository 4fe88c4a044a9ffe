"""The list of checks. Each runs even if others fail, and what can't be checked counts as failed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from propolis.config.schema import Config
from propolis.doctor import folders, repository, services
from propolis.doctor.model import Check
from propolis.errors import PropolisError

_Part = Callable[[Config], Iterator[Check]]

_PARTS: tuple[tuple[str, _Part], ...] = (
    ("settings", services.settings),
    ("services", services.running),
    ("database", services.database_checks),
    ("index", services.index_checks),
    ("thehive", services.thehive_checks),
    ("folders", folders.readable),
    ("space", folders.space),
    ("leftovers", folders.leftovers),
    ("state folder", folders.state),
    ("bucket", repository.bucket),
    ("host key", repository.host_key),
)


def checks(config: Config, identity: Path | None = None) -> list[Check]:
    """Make every check, in the order in which things are needed; takes a few seconds.

    `identity` is a file with the recovery key, for a host whose own key the repository doesn't know yet.
    Writes only a lock into the repository and little trial files where clones would lie, and removes them.
    """
    parts: tuple[tuple[str, _Part], ...] = (
        *_PARTS,
        ("repository", functools.partial(repository.usable, identity=identity)),
    )
    return [check for name, part in parts for check in _guarded(name, part, config)]


def _guarded(name: str, part: _Part, config: Config) -> list[Check]:
    """Run one part; whatever it raises is a failed check, after those it came to."""
    found: list[Check] = []
    try:
        found.extend(part(config))
    except PropolisError as error:
        found.append(Check(name, "fail", error.what, error.next))
    except Exception as error:
        # A check must never hide the others; what went wrong is named by its kind, as texts may hold secrets.
        found.append(Check(name, "fail", f"could not be checked ({type(error).__name__})"))
    return found
