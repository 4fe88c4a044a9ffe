"""Checks that a node of a cluster was drained: the rest of its writes would bring old addresses into a restore."""

from __future__ import annotations

from pathlib import Path

from propolis.backup.steps import CloneTrees
from propolis.command.context import Context
from propolis.errors import IntegrityError
from propolis.run import Results, Step
from propolis.stack.database.files import is_empty_segment


class CheckClonedLog(Step[Context, None], frozen=True, kw_only=True, tag="check-cloned-log"):
    """Checks that the stopped database left nothing in its commit log, as every node does that stops as it should.

    Only of clusters: a restore makes a node forget the others' addresses by its tables (see
    `propolis.restore.hosts.peers`), and what is in the log would be written to them again.
    """

    turn = "list"

    commitlog: str
    """Where its clone lies."""

    needs = (CloneTrees,)

    def _title(self) -> str:
        return "check that the stopped database left no writes in its commit log"

    def do(self, context: Context, results: Results) -> None:
        """Raise IntegrityError if it did; undoing starts the services again."""
        written = [path.name for path in sorted(Path(self.commitlog).glob("*.log")) if not is_empty_segment(path)]
        if written:
            raise IntegrityError(
                f"The database of this host was not drained when it stopped: {', '.join(written)} of its commit log "
                "hold writes",
                left="No backup was made",
                next="Look into its log, whether it stops as it should, then back up again",
            )
