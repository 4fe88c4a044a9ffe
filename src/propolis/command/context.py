"""What the steps of a command work with."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from propolis import clone
from propolis.command.control import ServiceControl
from propolis.config.schema import Config
from propolis.run import Observer
from propolis.run.journal import journal_folder
from propolis.run.journals import recorded_places


class Context:
    """A run: its configuration, services, warnings, and what it opened, which is closed with it.

    All of it is there from the start, in a recovery as in the run itself; what steps find out is in their results.
    """

    def __init__(self, config: Config, observer: Observer, run_id: str) -> None:
        self.config = config
        self.observer = observer
        self.run_id = run_id
        self.services = ServiceControl(config, observer, self.warn)
        self.resources = contextlib.ExitStack()
        self.warnings: list[str] = []
        """What somebody should know of this run: told at once, and in its report."""

    def __enter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what steps opened."""
        self.resources.__exit__(kind, error, trace)

    def own_names(self, folder: Path) -> frozenset[str]:
        """What lies directly in a folder and is this stack's runs' own, by name, as their journals say."""
        return clone.names_directly_in(folder, recorded_places(journal_folder(self.config.state)))

    def own_in(self, folder: Path) -> tuple[str, ...]:
        """Those of `own_names` that are there now, such as data that an earlier restore keeps."""
        return tuple(sorted(name for name in self.own_names(folder) if os.path.lexists(folder / name)))

    def warn(self, text: str) -> None:
        """Keep a warning for the report, and tell it now."""
        self.warnings.append(text)
        self.observer.note(text)
