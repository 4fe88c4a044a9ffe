"""A new backup begins: with the newest backup that can be read as its parent."""

from __future__ import annotations

from propolis.repository.format.damage import sparing
from propolis.repository.format.manifest import Manifest
from propolis.repository.io.limits import NO_LIMITS, Limits
from propolis.repository.model import Observer
from propolis.repository.repository import Repository
from propolis.repository.write.writer import Writer


def begin(
    repository: Repository,
    stack: str,
    parent: str | None = "latest",
    observer: Observer | None = None,
    workers: int | None = None,
    limits: Limits = NO_LIMITS,
) -> Writer:
    """A new backup of `stack`, for a `with` block.

    `parent`: an ID, `latest` (the stack's newest readable backup), or None to read everything. `limits`: what it
    may take of the host.
    """
    unreadable: list[str] = []
    manifest: Manifest | None = None
    if parent == "latest":
        manifest = find_parent(repository, stack, unreadable)
    elif parent is not None:
        manifest = repository.manifest(repository.resolve(parent))
    return Writer(repository, stack, manifest, unreadable, observer, workers, limits)


def find_parent(repository: Repository, stack: str, unreadable: list[str]) -> Manifest | None:
    """The stack's newest backup that is whole; IDs of newer ones that aren't are added to `unreadable`."""
    listing = repository.listing()
    for summary in reversed(listing.of(stack)):
        with sparing(repository.storage, repository.name(summary.id), listing.damaged):
            manifest = repository.manifest(summary.id)
            unreadable += [id for id, _ in listing.unread_since(summary)]
            return manifest
    unreadable += [id for id, _ in listing.unread_since(None)]
    return None
