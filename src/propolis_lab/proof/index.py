"""The documents of an index server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from propolis_lab import http
from propolis_lab.proof.digests import Digest, canonical, decoded, digest

_PAGE = 1000


def all_documents(url: str) -> dict[str, Digest]:
    """Index → its documents."""
    listed = decoded(http.request("GET", f"{url}/_cat/indices?format=json&expand_wildcards=open"))
    names = sorted(entry["index"] for entry in listed if not entry["index"].startswith("."))
    for name in names:
        decoded(http.request("POST", f"{url}/{name}/_refresh"))
    return {name: digest(documents(url, name), canonical) for name in names}


def documents(url: str, name: str) -> Iterator[dict[str, Any]]:
    """Every document of an index: its `_id` and `_source`."""
    query = {"size": _PAGE, "sort": ["_doc"], "query": {"match_all": {}}}
    page = decoded(http.request("POST", f"{url}/{name}/_search?scroll=2m", data=query))
    try:
        while hits := page["hits"]["hits"]:
            for hit in hits:
                yield {"_id": hit["_id"], "_source": hit["_source"]}
            page = decoded(
                http.request("POST", f"{url}/_search/scroll", data={"scroll": "2m", "scroll_id": page["_scroll_id"]})
            )
    finally:
        http.request("DELETE", f"{url}/_search/scroll", data={"scroll_id": page["_scroll_id"]})
