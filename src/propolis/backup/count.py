"""The step that counts what indices hold, so that a restore can be held to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from propolis.command.context import Context
from propolis.config.schema import Config
from propolis.errors import PreflightError
from propolis.run import Results, Step
from propolis.stack.index import contents, server
from propolis.stack.index.service import Index
from propolis.stack.stack import LABELS, index_of


@dataclass(frozen=True)
class Counted:
    """What every index of one server held when nothing wrote to it any more."""

    service: str
    documents: Mapping[str, int]
    """Of its user's own, by name."""
    indices: list[dict[str, Any]] | None
    """Of all, whoever's they are: a restore replaces the whole folder, and has to show each again. None: not told."""

    def as_facts(self, config: Config) -> Mapping[str, Any]:
        """What a manifest keeps of it."""
        indices = {} if self.indices is None else {"indices": self.indices}
        return index_of(config, self.service).noted({"documents": self.documents, **indices})


class CountDocuments(Step[Context, Counted], frozen=True, kw_only=True, tag="count-documents"):
    """Counts every index's documents now that nothing writes: a restore must show the same numbers."""

    turn = "count"

    service: str = Index.role

    def _title(self) -> str:
        whose = "" if self.service == Index.role else f" of {LABELS[self.service]}"
        return f"count the documents in every index{whose}"

    def do(self, context: Context, results: Results) -> Counted:
        """Count them."""
        index = index_of(context.config, self.service)
        documents = server.documents(index.section, index.prefix)
        try:
            indices = contents.indices(index.section, refresh=True)
        except PreflightError as error:
            context.warn(f"Only the indices of {index.user} could be counted: {error.what}")
            return Counted(self.service, documents, None)
        return Counted(self.service, documents, [info.as_fact() for info in indices])

    def summary(self, result: Counted) -> Mapping[str, Any]:
        """The documents of its user's own."""
        return {"documents": result.documents}
