"""`repository serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propolis.errors import UsageError
from propolis.repository.storage.remote.server import serve
from propolis.run.interrupts import Interrupts


def register(app: typer.Typer) -> None:
    """Add this family's command."""
    app.command("serve")(serve_repository)


def serve_repository(
    folder: Annotated[Path, typer.Argument(help="The repository's folder (absolute)", metavar="FOLDER")],
    append_only: Annotated[
        bool, typer.Option("--append-only", help="Only let objects be added and read; this is the default")
    ] = False,
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="Also let them be replaced and removed, e.g. by a prune")
    ] = False,
) -> None:
    """Serve a repository to another host over SSH.

    SSH runs this for a repository at ssh://HOST/FOLDER. In the authorized_keys of this host, give each client a key
    that can do nothing else: command="propolis repository serve --append-only FOLDER",restrict
    """
    if append_only and maintenance:
        raise UsageError("--append-only and --maintenance exclude each other")
    if not folder.is_absolute() or ".." in folder.parts:
        raise UsageError(f"The folder {folder} is not an absolute path")
    with Interrupts().active():
        serve(folder, append_only=not maintenance)
