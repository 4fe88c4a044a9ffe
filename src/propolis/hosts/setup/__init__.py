"""Adding hosts to a stack, and removing them: what `propolis host` does."""

from __future__ import annotations

from propolis.hosts.setup.adding import Added, Found, add_host, find_host
from propolis.hosts.setup.document import with_host, without_host, write_document

__all__ = ["Added", "Found", "add_host", "find_host", "with_host", "without_host", "write_document"]
