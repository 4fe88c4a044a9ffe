"""Gives roles and users of restored stores this host's password: they came with the data."""

from __future__ import annotations

from urllib.parse import quote

from propolis.config.schema import CassandraConfig, ElasticsearchConfig
from propolis.config.secrets import Login
from propolis.errors import PreflightError
from propolis.stack import database, index
from propolis.stack.http import HttpClient, HttpFailure

PATIENCE = 30.0
"""Seconds for the new login to be accepted: Cassandra remembers the old password for some."""


def give_role(config: CassandraConfig, known: Login, wanted: Login) -> None:
    """Give Cassandra's role of `wanted` its password, logged in as `known`; a role may change its own.

    Another role is made if it is missing, with all rights on TheHive's keyspace; that takes a `known` superuser.
    Returns once the login is accepted. Raises PreflightError if it isn't, or if Cassandra refuses.
    """
    role, password = _identifier(wanted[0]), _literal(wanted[1])
    statements = [f"ALTER ROLE {role} WITH PASSWORD = {password}"]
    if known[0] != wanted[0]:
        statements = [
            f"CREATE ROLE IF NOT EXISTS {role} WITH PASSWORD = {password} AND LOGIN = true",
            f"ALTER ROLE {role} WITH PASSWORD = {password} AND LOGIN = true",
            f"GRANT CREATE ON ALL KEYSPACES TO {role}",
            f"GRANT ALL PERMISSIONS ON KEYSPACE {_identifier(config.keyspace)} TO {role}",
        ]
    database.run(config, known, statements)
    database.answers(config, PATIENCE, login=wanted)


def give_user(config: ElasticsearchConfig, known: Login, wanted: Login) -> None:
    """Give the index's user its password, logged in as that very user with the `known` one.

    Returns once the login is accepted. Raises PreflightError if it isn't, or if the index refuses.
    """
    with HttpClient(config.url, login=known, tls=config.tls, timeout=30.0) as client:
        try:
            _change_own_password(client, known[1], wanted)
        except HttpFailure as failure:
            raise PreflightError(
                f"The index at {config.url} does not give the user {wanted[0]} another password: {failure}"
            ) from None
    index.answers(config, PATIENCE, login=wanted)


def _change_own_password(client: HttpClient, known: str, wanted: Login) -> None:
    try:
        client.request("POST", f"/_security/user/{quote(wanted[0], safe='')}/_password", {"password": wanted[1]})
    except HttpFailure as failure:
        if "no handler found" not in str(failure.body):
            raise
        # OpenSearch has no such path; there a user changes its own account.
        account = {"current_password": known, "password": wanted[1]}
        client.request("PUT", "/_plugins/_security/api/account", account)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    """Write a CQL string. Statements about roles take no bound values."""
    return "'" + text.replace("'", "''") + "'"
