"""What the stand-in makes of 20 cases and 40 attachments, for index servers on which the stand-in can't run.

`documents.jsonl.gz` was recorded from a lab of those options (`--seed 1`): first the index's mapping, settings and
alias, then every document. Loaded with it are rows and attachments of the same kind, so that every store of such a
lab holds something: the rows are no graph that JanusGraph could read.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from cassandra.cluster import Session
from obstore.store import S3Store

from propolis_lab import http
from propolis_lab.errors import LabError
from propolis_lab.layout import own

INDEX = "thehive_global"
KEYSPACE = "thehive"
_RECORDED = Path(__file__).with_name("documents.jsonl.gz")
_TABLES = ("edgestore", "graphindex", "janusgraph_ids", "system_properties")
"""The tables of JanusGraph's that hold data (not its locks and logs), made as it makes them."""


@dataclass(frozen=True)
class Recorded:
    """An index as it was, and the content of the attachments that its documents are about."""

    definition: dict[str, Any]
    """Mappings, settings and aliases, as an index is created with them."""
    documents: tuple[dict[str, Any], ...]
    """Each with `_id` and `_source`."""
    attachments: dict[str, bytes]
    """Key as the stand-in would write it → content."""


def recorded() -> Recorded:
    """Read the recording. The content of attachments is made anew, always the same, and their documents name it."""
    with gzip.open(_RECORDED, "rt", encoding="utf-8") as file:
        definition, *documents = (json.loads(line) for line in file)
    attachments = {}
    for document in documents:
        source = document["_source"]
        if source["_label"] == "Attachment":
            content = random.Random(document["_id"]).randbytes(source["size"])
            hashes = [hashlib.new(name, content).hexdigest() for name in ("sha256", "sha1", "md5")]
            source |= {"attachmentId": hashes[0], "hashes": hashes}
            attachments[f"attachment/{hashes[0]}"] = content
    return Recorded(definition, tuple(documents), attachments)


def load_index(url: str, content: Recorded) -> None:
    """Make the index `thehive_global` and load all documents. Raises LabError unless every one is there."""
    _ok(http.request("PUT", f"{url}/{INDEX}", data=content.definition))
    lines = (json.dumps(line) for document in content.documents for line in _bulk(document))
    answer = _ok(
        http.request(
            "POST",
            f"{url}/{INDEX}/_bulk?refresh=true",
            body=("\n".join(lines) + "\n").encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )
    )
    if answer["errors"]:
        failed = next(item for item in answer["items"] if item["index"]["status"] >= 300)
        raise LabError(f"{INDEX} took not every document: {json.dumps(failed)[:300]}")
    count = _ok(http.request("GET", f"{url}/{INDEX}/_count"))["count"]
    if count != len(content.documents):
        raise LabError(f"{INDEX} holds {count} documents instead of {len(content.documents)}")


def lay_files(folder: Path, content: Recorded) -> None:
    """Write the attachments as the stand-in would, owned by its user."""
    for key, value in content.attachments.items():
        path = folder / key
        if not path.parent.exists():
            path.parent.mkdir(mode=0o750)
            own(path.parent, "thehive")
        path.write_bytes(value)
        path.chmod(0o640)
        own(path, "thehive")


def put_objects(store: S3Store, content: Recorded) -> None:
    """Put the attachments into the stand-in's bucket."""
    for key, value in content.attachments.items():
        obstore.put(store, key, value, attributes={"Content-Type": "application/octet-stream"})


def load_database(session: Session, content: Recorded) -> None:
    """Make the keyspace, with a row in each table for each document. The session must be allowed to."""
    session.execute(
        f"CREATE KEYSPACE {KEYSPACE} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    for table in _TABLES:
        session.execute(
            f"CREATE TABLE {KEYSPACE}.{table} (key blob, column1 blob, value blob, PRIMARY KEY (key, column1))"
        )
        insert = session.prepare(f"INSERT INTO {KEYSPACE}.{table} (key, column1, value) VALUES (?, ?, ?)")
        for document in content.documents:
            value = json.dumps(document["_source"], sort_keys=True).encode()
            session.execute(insert, (document["_id"].encode(), b"\x02", value))


def _bulk(document: dict[str, Any]) -> Iterator[object]:
    yield {"index": {"_id": document["_id"]}}
    yield document["_source"]


def _ok(answer: http.Answer) -> Any:
    if answer.status >= 300:
        raise LabError(f"The index answers {answer.status}: {answer.text[:300]}")
    return answer.json()
