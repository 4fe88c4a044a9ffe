"""This host's own key: whether the repository knows it, and what to do when it doesn't.

On a host that a backup was restored onto, after the old one was lost, it doesn't yet.
"""

from __future__ import annotations

from propolis.config.schema import Config
from propolis.errors import PropolisError
from propolis.repository import Location, Repository, read_identities
from propolis.repository.keys import is_there

ADD_HOST_KEY = "propolis repository key add --host --identity RECOVERY-KEY-FILE"
"""What lets this host back up to a repository that others made."""


def why_closed(config: Config) -> str:
    """Say why this host can't back up to its repository yet, for want of its key there; empty if it can.

    Also empty where that can't be told: the key can't be read, or there is no repository to be reached.
    """
    path = config.repository.host_key
    try:
        ring = Repository(Location.from_config(config.repository).storage(), []).ring
        given = {str(identity.recipient) for identity in read_identities(path)} if is_there(path) else set()
    except PropolisError:
        return ""
    if not given:
        return f"this host has no key of its own yet ({path}), so it can't back up to {config.repository.url}"
    if given & {holder.recipient for holder in ring.recovery + ring.host}:
        return ""
    return f"the repository {config.repository.url} doesn't know this host's key ({path}), so it can't back up there"
