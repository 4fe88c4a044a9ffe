"""Repositories served by a process of this host, through the very code that a host behind SSH runs."""

import sys
from pathlib import Path

from propolis.repository import Location


def served(folder: Path, *options: str) -> Location:
    """A repository in a folder, served by a process of its own; with `--maintenance` unless told otherwise."""
    command = (sys.executable, "-m", "propolis", "repository", "serve", *(options or ("--maintenance",)), str(folder))
    return Location(f"ssh://backup.example{folder}", command=command)
