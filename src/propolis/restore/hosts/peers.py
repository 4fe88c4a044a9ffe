"""Makes a restored node of Cassandra forget the addresses of the others: it finds them by its seeds.

A node remembers its peers, and contacts them at its start. Measured on 4.1: copies of three nodes, started on other
addresses while the original cluster ran, contacted it, although their seeds named none of it; and since they have the
same host IDs and tokens, *the original gave its ring to them* ("Host ID collision … is the new owner"). Without the
tables of peers they met only each other: three nodes with the backed-up host IDs, and nothing to repair. So this is
done in every restore of a cluster, in place as well. Elasticsearch and OpenSearch keep no addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from propolis.command.context import Context
from propolis.errors import PreflightError
from propolis.run import Results, Step
from propolis.stack.database.files import is_empty_segment, peer_tables


class ForgetPeers(Step[Context, int], frozen=True, kw_only=True, tag="forget-peers"):
    """Removes from a staged database what its node knew of others. Undone with the staged folders."""

    turn = "stage"

    data: tuple[str, ...]
    """The staged data folders."""
    commitlog: str | None
    """The staged commit log, if it is replaced, too; a write to those tables in it would bring them back."""

    def _title(self) -> str:
        return "delete the addresses of other nodes from the fetched database"

    def do(self, context: Context, results: Results) -> int:
        """Remove them. Raises PreflightError where it can't be sure that nothing of them is left."""
        segments = sorted(Path(self.commitlog).glob("*.log")) if self.commitlog is not None else []
        written = [path.name for path in segments if not is_empty_segment(path)]
        if written:
            raise _unsure(f"its commit log holds writes ({', '.join(written)}), since it was not drained")
        removed, tables = 0, list(peer_tables(map(Path, self.data)))
        if not tables:
            raise _unsure("it has no table system.peers")
        for table in tables:
            for path in table.iterdir():
                if not path.is_dir() or path.is_symlink():  # its snapshots are read by nobody
                    path.unlink()
                    removed += 1
        return removed

    def summary(self, result: int) -> Mapping[str, Any]:
        """How many files were removed."""
        return {"removed": result}


def _unsure(why: str) -> PreflightError:
    return PreflightError(
        f"The backed-up node of the database may still know the addresses of its former cluster: {why}",
        left="Nothing was changed",
        next="Restore a backup that was taken while all nodes of the cluster were running",
    )
