"""This host's own key: whether the repository knows it, and what to do when it doesn't.

On a host that a backup was restored onto, after the old one was lost, it doesn't yet.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from propolis.config.schema import Config
from propolis.errors import PropolisError, RepositoryError
from propolis.repository import Identity, Location, Repository, read_identities, write_identity
from propolis.repository.crypto.identities import is_there
from propolis.repository.storage.opening import open_storage


def add_host_key(file: Path | None) -> str:
    """The command that lets this host back up to a repository that others made.

    `file` is the stack's configuration where that isn't the default one.
    """
    named = "" if file is None else f" --config {shlex.quote(str(file.absolute()))}"
    return f"propolis repository key add --host --identity RECOVERY-KEY-FILE{named}"


def why_closed(config: Config) -> str:
    """Say why this host can't back up to its repository yet, for want of its key there; empty if it can.

    Also empty where that can't be determined: the key can't be read, or there is no repository to be reached.
    """
    path = config.repository.host_key
    try:
        ring = Repository(open_storage(Location.from_config(config.repository)), []).ring
        given = {str(identity.recipient) for identity in read_identities(path)} if is_there(path) else set()
    except PropolisError:
        return ""
    if not given:
        return f"this host has no key of its own yet ({path}), so it can't back up to {config.repository.url}"
    if given & {holder.recipient for holder in ring.recovery + ring.host}:
        return ""
    return f"the repository {config.repository.url} doesn't know this host's key ({path}), so it can't back up there"


def host_identity(path: Path) -> Identity:
    """This host's key, made if missing: reads manifests, so that backups can be incremental, but no data."""
    if is_there(path):
        (identity,) = read_identities(path)
        return identity
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RepositoryError(
            f"The folder {path.parent} can't be created: {error.strerror}", next="Run as root"
        ) from None
    identity = Identity.generate()
    write_identity(path, identity)
    return identity
