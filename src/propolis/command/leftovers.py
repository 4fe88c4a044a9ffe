"""What runs left in and beside the stack's folders, and what only looks as if they had.

Ours is what a journal of this stack names, and nothing else: a folder of a service may well be called `.propolis-…`,
and a state folder that was lost takes the knowledge of its runs along.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from propolis import clone
from propolis.command.kept import records
from propolis.config.schema import Config
from propolis.run.journal import journal_folder
from propolis.run.journals import open_runs, places_of, recorded_places
from propolis.stack.stack import folders

STRANGER = "looks like a leftover of Propolis, but no run of this stack created it; it is left alone"

UNRECORDED = "holds former data that a restore kept, and its record is gone; it is left alone"


@dataclass(frozen=True)
class Leftovers:
    """`ours` goes with `propolis recover`; `strangers` are left alone, and backed up where they lie in a store.

    `unrecorded` was moved aside by a run that is over, and no record keeps it: it is left alone, and not backed up.
    What a restore keeps of the former data is neither: its records tell of it (`propolis.command.kept`).
    """

    ours: tuple[Path, ...]
    strangers: tuple[Path, ...]
    unrecorded: tuple[Path, ...] = ()


def find(config: Config) -> Leftovers:
    """Look, while no run is under way. Raises PreflightError if a folder or a journal can't be read."""
    recorded = recorded_places(journal_folder(config.state))
    kept = {Path(folder.folder) for one in records(config.state).kept for folder in one.folders}
    places = [tree.path for tree in folders(config)]
    if config.cassandra is not None:
        places.append(config.cassandra.saved_caches)
    there = {place for place in recorded - kept if os.path.lexists(place)}
    runs = open_runs(journal_folder(config.state))
    journals = [*(run.path for run in runs.states), *(journal.path for journal in runs.unreadable)]
    unfinished = {place for journal in journals for place in places_of(journal)}
    unrecorded = {place for place in there - unfinished if clone.is_aside(place)}
    return Leftovers(
        tuple(sorted(there - unrecorded)),
        tuple(place for place in clone.lookalikes(places) if place not in recorded),
        tuple(sorted(unrecorded)),
    )
