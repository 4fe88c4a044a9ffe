"""Cassandra's rows with their write times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cassandra.cluster import Session

from propolis_lab.proof.digests import Digest, digest

_VOLATILE_TABLES = {
    # Claims of JanusGraph's locks and ids: made by a running instance, meaningless once it has ended.
    "edgestore_lock_",
    "graphindex_lock_",
    "system_properties_lock_",
    "janusgraph_ids_lock_",
    # Messages between running instances of JanusGraph (cache evictions), and what their reading leaves behind; each
    # start adds some. Transactions are not logged.
    "systemlog",
    "txlog",
}


def _volatile_row(keyspace: str, table: str, row: tuple[Any, ...]) -> bool:
    """Registration of the running JanusGraph instance: each start replaces it."""
    return table == "system_properties" and any(
        isinstance(cell, bytes) and cell.startswith(b"system-registration.") for cell in row
    )


def tables(session: Session) -> dict[str, Digest]:
    """`keyspace.table` → its rows: keys, values, write times."""
    columns: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    query = "SELECT keyspace_name, table_name, column_name, kind, type FROM system_schema.columns"
    for keyspace, table, column, kind, type_name in session.execute(query):
        own = not keyspace.startswith("system") or keyspace == "system_auth"
        if own and table not in _VOLATILE_TABLES:
            columns.setdefault((keyspace, table), []).append((column, kind, type_name))
    return {
        f"{keyspace}.{table}": digest(_rows(session, keyspace, table, sorted(found)), repr)
        for (keyspace, table), found in sorted(columns.items())
    }


def _rows(
    session: Session, keyspace: str, table: str, columns: list[tuple[str, str, str]]
) -> Iterator[tuple[Any, ...]]:
    selected = [f'"{name}"' for name, _, _ in columns]
    # Collections that aren't frozen have no single write time.
    selected += [
        f'writetime("{name}")'
        for name, kind, type_name in columns
        if kind in ("regular", "static") and not re.match(r"(set|list|map)<", type_name) and type_name != "counter"
    ]
    names = ", ".join(selected)
    for row in session.execute(f'SELECT {names} FROM "{keyspace}"."{table}"'):
        if not _volatile_row(keyspace, table, row):
            yield tuple(sorted(cell) if isinstance(cell, set) else cell for cell in row)
