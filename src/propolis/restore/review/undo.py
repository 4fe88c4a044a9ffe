"""What an undo would replace: each store as it was before the run, and as it is here."""

from __future__ import annotations

import datetime
import socket
from dataclasses import dataclass

from propolis.command.context import Context
from propolis.command.kept import Kept
from propolis.command.stores import open_bucket
from propolis.errors import PropolisError
from propolis.restore.measure import Measured
from propolis.restore.review.review import StoreReview
from propolis.stack.model import BucketTree, FolderTree, Tree
from propolis.stack.stack import STORES, trees


@dataclass(frozen=True)
class UndoReview:
    """All that an undo would replace. `notes` are whole sentences."""

    kept: Kept
    target: str
    target_host: str
    stores: tuple[StoreReview, ...]
    notes: tuple[str, ...]


def review_undo(context: Context, kept: Kept) -> UndoReview:
    """Look at what the undo of a run would replace. Reads no file's content, changes nothing."""
    since_ns = int(datetime.datetime.fromisoformat(kept.at).timestamp()) * 1_000_000_000
    known = [tree for tree in trees(context.config) if tree.target in kept.targets]
    stores: list[StoreReview] = []
    notes: list[str] = []
    for store in STORES:
        here = Measured()
        of_store = [tree for tree in known if tree.store == store]
        for tree in of_store:
            notes += _measure(context, kept, tree, here, since_ns)
        if of_store:
            files, size = _held(kept, of_store)
            stores.append(StoreReview(store, files, size, here, in_place=True))
    return UndoReview(kept, context.config.name, socket.gethostname(), tuple(stores), tuple(notes))


def _measure(context: Context, kept: Kept, tree: Tree, here: Measured, since_ns: int) -> list[str]:
    if isinstance(tree, FolderTree):
        here.add_folder(tree.path, since_ns, context.own_names(tree.path))
        return [f"Not all of the {tree.store} could be read: {here.unread}."] if here.unread else []
    if not isinstance(tree, BucketTree):
        return []
    aside = [one.aside for one in kept.objects]
    try:
        here.add_bucket(open_bucket(tree.bucket), since_ns, aside)
    except PropolisError as error:
        here.whole = False
        return [f"The bucket of {tree.name} could not be read: {error.what}."]
    return [
        "In the bucket, objects that the run added are removed, those that it replaced are put back, and those "
        "added since stay. What TheHive itself removed from the bucket since is gone and does not come back."
    ]


def _held(kept: Kept, of_store: list[Tree]) -> tuple[int, int]:
    folders = [one for one in kept.folders if one.target in {tree.target for tree in of_store}]
    objects = [one for one in kept.objects if one.tree in {tree.name for tree in of_store}]
    files = sum(one.files for one in folders) + sum(one.objects for one in objects)
    return files, sum(one.bytes for one in folders) + sum(one.bytes for one in objects)
