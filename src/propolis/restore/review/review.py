"""What a restore would replace: each store as it is in the backup and as it is here."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from propolis.command.context import Context
from propolis.command.kept import aside_prefixes, records
from propolis.command.stores import open_bucket
from propolis.errors import PropolisError
from propolis.repository import Header, Manifest
from propolis.restore import others
from propolis.restore.measure import Measured
from propolis.restore.prepare import Restoration
from propolis.stack.index import contents as index_contents
from propolis.stack.index.service import Index
from propolis.stack.model import FolderTree, Tree
from propolis.stack.stack import STORES, instances


@dataclass(frozen=True)
class StoreReview:
    """One store: in the backup, and here."""

    store: str
    held_files: int
    held_bytes: int
    here: Measured
    in_place: bool
    """False: it is laid beside, for comparison, and replaces nothing."""


@dataclass(frozen=True)
class Review:
    """All that a restore would replace.

    `notes` are whole sentences: what is newer here than in the backup, and what was not looked at. `since`: the
    moment with which times are compared, the backup's own (UTC); empty if it doesn't tell one.
    """

    backup: str
    stack: str
    host: str
    """On which it was taken."""
    taken: str
    target: str
    target_host: str
    since: str
    stores: tuple[StoreReview, ...]
    notes: tuple[str, ...]


def review(context: Context, restoration: Restoration) -> Review:
    """Look at what it would replace. Reads no file's content, changes nothing; what can't be seen is a note."""
    manifest, header = restoration.manifest, restoration.header
    replaced, laid = restoration.in_place, restoration.beside
    since = _moment(header)
    since_ns = None if since is None else int(since.timestamp()) * 1_000_000_000
    notes: list[str] = []
    stores: list[StoreReview] = []
    for store in STORES:
        for found_trees, is_replaced in ((replaced, True), (laid, False)):
            of_store = [tree for tree in found_trees if tree.store == store]
            if not of_store:
                continue
            here = Measured()
            if is_replaced:
                notes += _measure(context, of_store, here, since_ns)
            held = [found for tree in of_store if (found := header.tree(tree.name)) is not None]
            stores.append(
                StoreReview(
                    store, sum(one.files for one in held), sum(one.bytes for one in held), here, in_place=is_replaced
                )
            )
    if since is None:
        notes.append("The backup doesn't say when it was taken, so nothing here was compared with it.")
    notes += _newer(context, manifest, {tree.store for tree in replaced})
    return Review(
        backup=manifest.id,
        stack=header.stack,
        host=header.host,
        taken=header.ended,
        target=context.config.name,
        target_host=socket.gethostname(),
        since="" if since is None else f"{since:%Y-%m-%d %H:%M:%S} UTC",
        stores=tuple(stores),
        notes=tuple(dict.fromkeys(notes)),
    )


def _moment(header: Header) -> datetime.datetime | None:
    """When the backup's services were down, or else when it began."""
    for text in (header.facts.get("point_in_time"), header.started):
        try:
            moment = datetime.datetime.fromisoformat(str(text))
        except ValueError:
            continue
        if moment.tzinfo is not None:
            return moment.astimezone(datetime.UTC)
    return None


def _measure(context: Context, of_store: list[Tree], here: Measured, since_ns: int | None) -> Iterator[str]:
    for tree in of_store:
        if isinstance(tree, FolderTree):
            here.add_folder(tree.path, since_ns, context.own_names(tree.path))
        else:
            try:
                kept = aside_prefixes(records(context.config.state).kept, tree.name)
                here.add_bucket(open_bucket(tree.bucket), since_ns, kept)
            except PropolisError as error:
                here.whole = False
                yield f"The bucket of {tree.name} could not be read: {error.what}."
    if here.unread:
        yield f"Not all of the {of_store[0].store} could be read: {here.unread}."


def _newer(context: Context, manifest: Manifest, stores: set[str]) -> Iterator[str]:
    """Documents, indices and keyspaces that are here and not in the backup; what could not be asked."""
    cassandra = context.config.cassandra
    for index in instances(context.config):
        if "index" in stores and isinstance(index, Index):
            running = context.services.is_running(index.role)
            try:
                losses, unasked = others.index_losses(index, manifest, running=running)
                yield from _told(losses)
                if running and not unasked:
                    yield from _documents(index, manifest)
                elif unasked:
                    yield f"The documents of {index.label} here were not counted: {unasked}."
            except (PropolisError, OSError) as error:
                yield f"The indices of {index.label} here could not be read: {_reason(error)}."
    if "database" in stores and cassandra is not None:
        try:
            losses, unasked = others.keyspace_losses(
                cassandra, manifest, context.config.host, running=context.services.is_running("database")
            )
            yield from _told(losses)
            if unasked:
                known = "The keyspaces here are only known from their folders, since Cassandra could not be asked"
                yield f"{known}: {unasked}."
        except (PropolisError, OSError) as error:
            yield f"The keyspaces here could not be read: {_reason(error)}."


def _told(losses: Iterable[others.Loss]) -> Iterator[str]:
    for loss in losses:
        yield f"The {loss.kind} {loss.names[0]} {loss.why}."


def _documents(index: Index, manifest: Manifest) -> Iterator[str]:
    """Compare the documents of the index's user here with those in the backup."""
    counted = index.counted(manifest.header.facts).get("documents")
    if not isinstance(counted, dict):
        yield "The backup doesn't say how many documents it holds, so those here were not compared."
        return
    then = sum(number for number in counted.values() if isinstance(number, int))
    now = sum(
        info.documents
        for info in index_contents.indices(index.section)
        if index_contents.owner_of(info.name, index.prefix) == "stack"
    )
    name = "TheHive's index" if index.role == Index.role else index.label
    yield f"{name} holds {now} documents here, {then} in the backup."


def _reason(error: PropolisError | OSError) -> str:
    return error.what if isinstance(error, PropolisError) else (error.strerror or type(error).__name__)
