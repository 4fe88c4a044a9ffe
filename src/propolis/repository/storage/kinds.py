"""The kinds of objects that a repository has: what they are called, and how large they may be."""

from __future__ import annotations

import re
from dataclasses import dataclass

SMALL_LIMIT = 1 << 20
INDEX_LIMIT = 256 << 20
MANIFEST_LIMIT = 1 << 30
MAX_SEGMENT_BYTES = 64 << 20
"""No repository may ask a reader for buffers larger than this."""
PACK_LIMIT = MAX_SEGMENT_BYTES + (1 << 20)
"""No pack is larger."""

CONFIG = "config"
RESERVE = "reserve"
QUARANTINE = "quarantine"
"""Where a repair puts what is damaged."""
PARTS = "parts"
VERDICTS = "verdicts"
TEMPORARY = "tmp"
"""Where a folder has what is being written."""

_RUN = r"\d{8}T\d{6}Z-[0-9a-f]{6}"
"""The ID of a run, as its journals have it."""


@dataclass(frozen=True)
class Kind:
    """The objects of one folder, or the one object of that name."""

    names: re.Pattern[str]
    limit: int = SMALL_LIMIT


KINDS = {
    CONFIG: Kind(re.compile(r"config")),
    "keys": Kind(re.compile(r"keys/\d{6}-[0-9a-f]{64}")),
    "spare": Kind(re.compile(r"spare/\d{6}-[0-9a-f]{64}")),
    "packs": Kind(re.compile(r"packs/([0-9a-f]{2})/\1[0-9a-f]{62}"), PACK_LIMIT),
    "indexes": Kind(re.compile(r"indexes/[0-9a-f]{64}"), INDEX_LIMIT),
    "manifests": Kind(re.compile(r"manifests/\d{8}T\d{6}Z-[0-9a-f]{64}"), MANIFEST_LIMIT),
    PARTS: Kind(re.compile(rf"parts/({_RUN})-([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})-([0-9a-f]{{64}})"), MANIFEST_LIMIT),
    VERDICTS: Kind(re.compile(rf"verdicts/{_RUN}")),
    "holds": Kind(re.compile(r"holds/\d{8}T\d{6}Z-[0-9a-f]{8}-[0-9a-f]{64}")),
    RESERVE: Kind(re.compile(r"reserve")),
    "removals": Kind(re.compile(r"removals/[0-9a-f]{64}")),
    "verified": Kind(re.compile(r"verified/\d{8}T\d{6}Z-[0-9a-f]{8}-[0-9a-f]{64}")),
    "locks": Kind(re.compile(r"locks/(shared|exclusive)-\d{8}T\d{6}Z-[0-9a-f]{32}")),
}
"""By the first part of their names."""
