"""Attachments: a folder or a bucket."""

from __future__ import annotations

from propolis.config.schema import FolderFiles, S3Files
from propolis.stack.model import BucketTree, FolderTree, Tree

BUCKET = "files/bucket"
"""The tree of attachments in a bucket."""


def immutable(path: str) -> bool:
    """Say of every attachment that it never changes in place (an `Immutable` rule).

    TheHive names an attachment by its content's hash, writes it once as a whole and never opens it for writing
    again; it only deletes it with its last reference, which leaves other links to it whole.
    """
    return True


def trees(config: FolderFiles | S3Files) -> tuple[Tree, ...]:
    """The one tree `files/folder` or `files/bucket`."""
    if isinstance(config, FolderFiles):
        return (FolderTree("files", "files/folder", "thehive", immutable, config.folder),)
    return (BucketTree("files", BUCKET, "thehive", config),)
