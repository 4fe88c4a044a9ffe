"""Options that several commands share, and what they make of them."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from propolis.command.apart import require_apart
from propolis.config.load import load
from propolis.config.schema import Config
from propolis.errors import UsageError
from propolis.report.observers import observer_for
from propolis.run import Observer

CONFIG = "PROPOLIS_CONFIG"
DEFAULT_CONFIG = Path("/etc/propolis/propolis.yaml")

ConfigFile = Annotated[
    Path,
    # Not `readable`, here and below: who reads a file says what to do if it can't be, with its own exit code.
    typer.Option("--config", "-c", envvar=CONFIG, help="The stack's configuration", metavar="FILE", readable=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing unless something is wrong")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would be done and change nothing")]
IdentityFile = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        "-i",
        help="File with the recovery key: an age identity or an SSH key; - asks for a passphrase",
        metavar="FILE",
        readable=False,
    ),
]
AsOf = Annotated[
    str,
    typer.Option(
        "--at",
        help="Read the bucket as it was at this time, e.g. 2026-11-23T22:45:00Z; needs a bucket that keeps versions",
        metavar="TIME",
    ),
]
BackupArgument = Annotated[str, typer.Argument(help="A backup's ID or a prefix of it, or `latest`", metavar="ID")]


def config_of(path: Path) -> Config:
    """Load the configuration. Raises ConfigError, also where two of its places overlap."""
    config = load(path)
    require_apart(config)
    return config


def named(config: Path) -> Path | None:
    """The configuration that a command for the user to run has to name; None where it is the default one."""
    return None if config == DEFAULT_CONFIG else config


def moment_of(text: str) -> datetime | None:
    """The time that `--at` names, None without it; `UsageError` unless it is whole and not ahead."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(
            f"--at: {text!r} is not a time with an offset",
            next="Write it as 2026-11-23T22:45:00Z or 2026-11-23T23:45:00+01:00: local times are ambiguous",
        )
    if moment > datetime.now(moment.tzinfo):
        raise UsageError(f"--at: {text} is in the future", next="Leave --at out to read the present state")
    return moment


def observer(*, quiet: bool, as_json: bool) -> Observer:
    """Whoever is told how the run gets on: on standard error, so that results stay alone on standard output."""
    return observer_for(sys.stderr, quiet=quiet or as_json)


def is_root() -> bool:
    """Whether this process may read and give away any file."""
    return os.geteuid() == 0
