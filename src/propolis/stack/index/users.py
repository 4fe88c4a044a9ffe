"""Gives a user of a restored index this host's password: it came with the data."""

from __future__ import annotations

from urllib.parse import quote

from propolis.config.schema import IndexServerConfig
from propolis.config.secrets import Login
from propolis.errors import PreflightError
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.index import server as index

PATIENCE = 30.0
"""Seconds for the new login to be accepted."""


def give_user(config: IndexServerConfig, prefix: str, known: Login, wanted: Login) -> None:
    """Give the index's user its password, logged in as that very user with the `known` one.

    Returns once the login is accepted. Raises PreflightError if it isn't, or if the index refuses.
    """
    with HttpClient(config.url, login=known, tls=config.tls, timeout=30.0) as client:
        try:
            _change_own_password(client, known[1], wanted)
        except HttpFailure as failure:
            # In a cluster each host may be told to do it, side by side: where one was first, the known one is gone.
            if config.nodes == 1 or failure.status != 401:
                raise PreflightError(
                    f"The index at {config.url} refuses to change the password of the user {wanted[0]}: {failure}"
                ) from None
    (index.answers if config.nodes == 1 else index.agrees)(config, prefix, PATIENCE, login=wanted)


def _change_own_password(client: HttpClient, known: str, wanted: Login) -> None:
    try:
        client.request("POST", f"/_security/user/{quote(wanted[0], safe='')}/_password", {"password": wanted[1]})
    except HttpFailure as failure:
        if "no handler found" not in str(failure.body):
            raise
        # OpenSearch has no such path; there a user changes its own account.
        account = {"current_password": known, "password": wanted[1]}
        client.request("PUT", "/_plugins/_security/api/account", account)
