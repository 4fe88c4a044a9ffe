"""`agent`."""

from __future__ import annotations

import sys

import typer

from propolis.agent.session import serve
from propolis.cli.options import DEFAULT_CONFIG, ConfigFile
from propolis.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add this family's command."""
    app.command()(agent)


def agent(config: ConfigFile = DEFAULT_CONFIG) -> int:
    """Take part in a run on several hosts.

    The coordinator starts this on each host, e.g. over SSH, and drives it over standard input and output. In the
    authorized_keys of this host, give the coordinator a key that can do nothing else:
    command="propolis agent",restrict
    """
    if sys.stdin is not None and sys.stdin.isatty():
        raise UsageError(
            "`propolis agent` is started by a coordinator, not by hand", next="See `propolis host --help`"
        )
    return serve(config)
