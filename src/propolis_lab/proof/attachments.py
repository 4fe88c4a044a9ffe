"""The attachments, as files or as objects of a bucket."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.store import S3Store

from propolis_lab.lab import Lab
from propolis_lab.proof.digests import canonical, files
from propolis_lab.servers import thehive


def attachments(lab: Lab) -> dict[str, str]:
    """File or object name → SHA-256 of the content (of an object: and its type and metadata)."""
    if lab.options.files == "s3":
        store = lab.s3.store(thehive.BUCKET)
        names = [item["path"] for item in obstore.list(store).collect()]
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(names, pool.map(lambda name: _object(store, name), names), strict=True))
    return files(lab.layout.attachments)


def _object(store: S3Store, name: str) -> str:
    got = obstore.get(store, name)
    attributes = canonical({str(key): str(value) for key, value in got.attributes.items()})
    return f"{hashlib.sha256(bytes(got.bytes())).hexdigest()} {attributes}"
