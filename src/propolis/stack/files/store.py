"""Attachments: a folder or a bucket."""

from __future__ import annotations

from propolis.config.schema import FolderFiles, S3Files
from propolis.stack.model import Tree, nothing_immutable


def immutable(path: str) -> bool:
    """Say of every attachment that it never changes in place (an `Immutable` rule).

    TheHive names an attachment by its content's hash, writes it once as a whole and never opens it for writing
    again; it only deletes it with its last reference, which leaves other links to it whole.
    """
    return True


def trees(config: FolderFiles | S3Files) -> tuple[Tree, ...]:
    """The one tree `files/folder` or `files/bucket`."""
    if isinstance(config, FolderFiles):
        return (Tree("files", "files/folder", "thehive", immutable, config.folder),)
    return (Tree("files", "files/bucket", "thehive", nothing_immutable, bucket=config),)
