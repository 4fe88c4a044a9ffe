"""What a lab holds, so that two moments can be compared down to the last cell, document and byte.

`snapshot` looks from every side: Cassandra's rows with their write times, the index's documents, the attachments'
bytes, and what a user sees through TheHive's interface. `compare` lists each difference.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import obstore
from cassandra.cluster import Session
from obstore.store import S3Store

from propolis_lab import http
from propolis_lab.errors import LabError
from propolis_lab.lab import Lab
from propolis_lab.servers import thehive

_Item = TypeVar("_Item")

_PAGE = 1000
_SEARCHES = 6
_DOWNLOADS = 20

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


@dataclass(frozen=True)
class Digest:
    """A set of things, without regard to their order."""

    count: int
    value: str

    def __str__(self) -> str:
        return f"{self.count} · {self.value[:12]}"


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same."""

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} → {self.after}"


@dataclass(frozen=True)
class Proof:
    """What a lab held at one moment."""

    tables: Mapping[str, Digest]
    """`keyspace.table` → its rows: keys, values, write times."""
    documents: Mapping[str, Digest]
    """Index → its documents."""
    attachments: Mapping[str, str]
    """File or object name → SHA-256 of the content (of an object: and its type and metadata)."""
    counts: Mapping[str, int]
    """Label → vertices."""
    cases: Digest | None
    """Every case with all that hangs on it, as the interface shows it; None on a lab without the stand-in."""
    searches: Mapping[str, Digest]
    """Words → what the full-text search finds."""
    downloads: Mapping[str, str]
    """Attachment → SHA-256 of what the interface delivers, for some."""
    logins: Mapping[str, bool]
    """Way of logging in → whether it works."""

    def rows(self, after: Proof) -> Iterator[tuple[str, str, str]]:
        """Each thing compared, before and after, short enough for a table."""
        for name in sorted(self.tables.keys() | after.tables.keys()):
            yield f"table {name}", _shown(self.tables.get(name)), _shown(after.tables.get(name))
        for name in sorted(self.documents.keys() | after.documents.keys()):
            yield f"index {name}", _shown(self.documents.get(name)), _shown(after.documents.get(name))
        yield "attachments, by hash", str(_of_names(self.attachments)), str(_of_names(after.attachments))
        yield "vertices", str(sum(self.counts.values())), str(sum(after.counts.values()))
        yield "cases with all that hangs on them", _shown(self.cases), _shown(after.cases)
        for words in sorted(self.searches.keys() | after.searches.keys()):
            yield f"search “{words}”", _shown(self.searches.get(words)), _shown(after.searches.get(words))
        yield "downloads", str(_of_names(self.downloads)), str(_of_names(after.downloads))
        for way in sorted(self.logins.keys() | after.logins.keys()):
            yield f"login by {way}", _shown(self.logins.get(way)), _shown(after.logins.get(way))


def compare(before: Proof, after: Proof) -> list[Difference]:
    """Every difference; none means that nothing was lost, changed or added."""
    found = []
    pairs: list[tuple[str, Mapping[str, object], Mapping[str, object]]] = [
        ("table", before.tables, after.tables),
        ("index", before.documents, after.documents),
        ("attachment", before.attachments, after.attachments),
        ("vertices", before.counts, after.counts),
        ("cases", {"all": before.cases}, {"all": after.cases}),
        ("search", before.searches, after.searches),
        ("download", before.downloads, after.downloads),
        ("login by", before.logins, after.logins),
    ]
    for kind, first, second in pairs:
        for name in sorted(first.keys() | second.keys()):
            if first.get(name) != second.get(name):
                found.append(Difference(f"{kind} {name}", _shown(first.get(name)), _shown(second.get(name))))
    return found


def snapshot(lab: Lab) -> Proof:
    """Look at everything. The lab must run, and nothing should write meanwhile.

    On a lab that has no stand-in, what a user would see through it is left out.
    """
    with lab.cql() as session:
        tables = _tables(session)
    seen = "thehive" in lab.services
    cases = _cases(lab) if seen else []
    return Proof(
        tables=tables,
        documents=_documents(lab),
        attachments=_attachments(lab),
        counts=lab.api("GET", "/api/v1/counts") if seen else {},
        cases=_digest(cases, _canonical) if seen else None,
        searches=_searches(lab, cases),
        downloads=_downloads(lab) if seen else {},
        logins=_logins(lab) if seen else {},
    )


# The database


def _tables(session: Session) -> dict[str, Digest]:
    columns: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    query = "SELECT keyspace_name, table_name, column_name, kind, type FROM system_schema.columns"
    for keyspace, table, column, kind, type_name in session.execute(query):
        own = not keyspace.startswith("system") or keyspace == "system_auth"
        if own and table not in _VOLATILE_TABLES:
            columns.setdefault((keyspace, table), []).append((column, kind, type_name))
    return {
        f"{keyspace}.{table}": _digest(_rows(session, keyspace, table, sorted(found)), repr)
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


# The index


def _documents(lab: Lab) -> dict[str, Digest]:
    listed = _json(http.request("GET", f"{lab.index_url}/_cat/indices?format=json&expand_wildcards=open"))
    names = sorted(entry["index"] for entry in listed if not entry["index"].startswith("."))
    for name in names:
        _json(http.request("POST", f"{lab.index_url}/{name}/_refresh"))
    return {name: _digest(documents(lab.index_url, name), _canonical) for name in names}


def documents(url: str, name: str) -> Iterator[dict[str, Any]]:
    """Every document of an index: its `_id` and `_source`."""
    query = {"size": _PAGE, "sort": ["_doc"], "query": {"match_all": {}}}
    page = _json(http.request("POST", f"{url}/{name}/_search?scroll=2m", data=query))
    try:
        while hits := page["hits"]["hits"]:
            for hit in hits:
                yield {"_id": hit["_id"], "_source": hit["_source"]}
            page = _json(
                http.request("POST", f"{url}/_search/scroll", data={"scroll": "2m", "scroll_id": page["_scroll_id"]})
            )
    finally:
        http.request("DELETE", f"{url}/_search/scroll", data={"scroll_id": page["_scroll_id"]})


# The attachments


def _attachments(lab: Lab) -> dict[str, str]:
    if lab.options.files == "s3":
        store = lab.s3.store(thehive.BUCKET)
        names = [item["path"] for item in obstore.list(store).collect()]
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(names, pool.map(lambda name: _object(store, name), names), strict=True))
    base = lab.layout.attachments
    files = sorted(path for path in base.rglob("*") if path.is_file())
    return {str(path.relative_to(base)): _sha256(path) for path in files}


def _object(store: S3Store, name: str) -> str:
    got = obstore.get(store, name)
    attributes = _canonical({str(key): str(value) for key, value in got.attributes.items()})
    return f"{hashlib.sha256(bytes(got.bytes())).hexdigest()} {attributes}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# What a user sees


def _cases(lab: Lab) -> list[Any]:
    numbers: list[int] = []
    while True:
        page = lab.api("GET", f"/api/v1/cases?from={len(numbers)}&size={_PAGE}")
        numbers += [case["number"] for case in page["cases"]]
        if not page["cases"] or len(numbers) >= page["total"]:
            break
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda number: lab.api("GET", f"/api/v1/case/{number}"), numbers))


def _searches(lab: Lab, cases: list[Any]) -> dict[str, Digest]:
    """Full-text searches for words that the first and the last cases have in their descriptions."""
    found = {}
    for case in (*cases[: _SEARCHES // 2], *cases[-_SEARCHES // 2 :]):
        words = " ".join(re.findall(r"[A-Za-z]{6,}", str(case.get("description", "")))[:2])
        if words:
            answer = lab.api("GET", f"/api/v1/search?q={words.replace(' ', '+')}&from=0&size={_PAGE}")
            found[words] = _digest((hit["_id"] for hit in answer["hits"]), str, count=answer["total"])
    return found


def _downloads(lab: Lab) -> dict[str, str]:
    listed = lab.api("GET", f"/api/v1/attachments?from=0&size={_DOWNLOADS}")["attachments"]
    return {entry["attachmentId"]: _download(lab, entry["attachmentId"]) for entry in listed}


def _download(lab: Lab, identifier: str) -> str:
    answer = http.request(
        "GET",
        f"{lab.thehive_url}/api/v1/attachment/{identifier}/download",
        headers={"Authorization": f"Bearer {lab.account.api_key}"},
    )
    return hashlib.sha256(answer.body).hexdigest() if answer.status == 200 else f"HTTP {answer.status}"


def _logins(lab: Lab) -> dict[str, bool]:
    account = lab.account
    url = f"{lab.thehive_url}/api/v1/user/current"
    basic = base64.b64encode(f"{account.login}:{account.password}".encode()).decode()
    ways = {
        "API key": f"Bearer {account.api_key}",
        "password": f"Basic {basic}",
        "wrong API key": f"Bearer {account.api_key[::-1]}x",
    }
    found = {
        way: http.request("GET", url, headers={"Authorization": value}).status == 200 for way, value in ways.items()
    }
    form = http.request(
        "POST",
        f"{lab.thehive_url}/api/v1/login",
        data={"user": account.login, "password": account.password},
    )
    found["form"] = form.status == 200
    return found


# Digests


def _digest(items: Iterable[_Item], form: Callable[[_Item], str], count: int | None = None) -> Digest:
    """Sum of the items' hashes: the order in which a server returns them does not matter."""
    total = 0
    number = 0
    for item in items:
        number += 1
        total += int.from_bytes(hashlib.blake2b(form(item).encode(), digest_size=16).digest(), "big")
    return Digest(number if count is None else count, f"{total % 2**128:032x}")


def _of_names(entries: Mapping[str, str]) -> Digest:
    return _digest(entries.items(), repr)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _json(answer: http.Answer) -> Any:
    if answer.status >= 400:
        raise LabError(f"The index answers {answer.status}: {answer.text[:300]}")
    return answer.json()


def _shown(value: object) -> str:
    return "missing" if value is None else "yes" if value is True else "no" if value is False else str(value)
