"""What it means that a connection couldn't be made, or was lost: told by ssh, by a shell, or by nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass

from propolis.errors import RepositoryError
from propolis.repository.storage.remote.connection import LostError


@dataclass(frozen=True)
class _Case:
    told: re.Pattern[str]
    what: str
    next: str


def _case(told: str, what: str, next: str) -> _Case:
    return _Case(re.compile(told, re.IGNORECASE), what, next)


_LASTING = (
    _case(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed",
        "the host's key has changed: it may be another host",
        "Find out why before you go on; if it is right, remove the old key with `ssh-keygen -R HOST`",
    ),
    _case(
        r"host key verification failed|no .*host key is known",
        "the host's key isn't known here",
        "Log in once with `ssh HOST`, as the user that runs Propolis, and compare the key's fingerprint",
    ),
    _case(
        r"permission denied",
        "the login was refused",
        "Check the user name, the key in ~/.ssh/config and the server's authorized_keys. Propolis can't ask for a "
        "passphrase: use a key without one, or an agent",
    ),
    _case(
        r"could not resolve hostname(?!.*temporary)",
        "there is no host of that name",
        "Check the host in repository.url, and ~/.ssh/config",
    ),
    _case(
        r"no such command|no such option|unexpected extra argument|usage: propolis",
        "the Propolis there is too old to serve a repository",
        "Install the same version on both hosts",
    ),
)
_NOISE = _case(
    "",
    "it sent what can't be understood",
    "Remove whatever that host prints at a login without a terminal (in .bashrc, for example)",
)
_NOT_INSTALLED = _case(
    r"command not found|propolis: not found|no such file or directory.*propolis",
    "Propolis is not installed there, or not in the PATH of a login without a terminal",
    'Install it there, or name it with its full path in the key\'s command="…" in authorized_keys',
)
_NOT_FOUND = 127
_SSH_FAILED = 255


def lasting(error: LostError) -> _Case | None:
    """Why there is no use in trying again; None when there may be."""
    if error.opened:
        return None
    for case in (*_LASTING, _NOT_INSTALLED):
        if case.told.search(error.told):
            return case
    if error.code == _NOT_FOUND:
        return _NOT_INSTALLED
    if error.unstarted:
        return _case("", "its program can't be started", "Install ssh, or check repository.command")
    if error.unreadable:
        return _NOISE
    if error.code not in (None, _SSH_FAILED):
        return _case("", f"the program that serves it ended with exit code {error.code}", "Check it on that host")
    return None


def explained(error: LostError, place: str) -> RepositoryError:
    """The error for a repository that can't be reached."""
    case = lasting(error)
    said = error.told
    if case is not None:
        host = place.removeprefix("ssh://").partition("/")[0]
        return RepositoryError(
            f"The repository {place} can't be reached: {case.what}{_quoted(said)}",
            next=case.next.replace("HOST", host),
        )
    if error.opened:
        return RepositoryError(
            f"The connection to the repository {place} was lost: {error.reason}{_quoted(said)}",
            left="What was stored so far does no harm",
            next="Check the network and the host, then run the command again: it continues where it stopped",
        )
    return RepositoryError(
        f"The repository {place} can't be reached: {error.reason}{_quoted(said)}",
        next="Check the host and the network",
    )


def _quoted(said: str) -> str:
    return f" ({said[:300]})" if said else ""
