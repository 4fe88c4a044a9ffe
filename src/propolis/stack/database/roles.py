"""Gives a role of a restored database this host's password: it came with the data."""

from __future__ import annotations

from propolis.config.schema import CassandraConfig
from propolis.config.secrets import Login
from propolis.errors import PreflightError
from propolis.stack.database import server as database

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
    # In a cluster each host may be told to do it, side by side: where one was first, the known password is gone.
    asks = database.answers if config.nodes == 1 else database.agrees
    try:
        database.run(config, known, statements)
    except PreflightError as refused:
        if config.nodes == 1:
            raise
        try:
            asks(config, PATIENCE, login=wanted)
        except PreflightError:
            raise refused from None
        return
    asks(config, PATIENCE, login=wanted)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    """Write a CQL string. Statements about roles take no bound values."""
    return "'" + text.replace("'", "''") + "'"
