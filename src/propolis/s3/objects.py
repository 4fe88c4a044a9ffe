"""What a bucket tells about an object."""

from __future__ import annotations

import msgspec

from propolis.structs import read_in_threads


@read_in_threads
class ObjectMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bucket tells about an object besides its bytes."""

    key: str = ""
    size: int = 0
    etag: str = ""
    last_modified_ns: int = 0
    content_type: str = ""
    metadata: dict[str, str] = {}
    """User-defined metadata and the standard headers (Cache-Control, …), by name."""
