"""`repository …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propolis.cli.options import DEFAULT_CONFIG, ConfigFile, config_of
from propolis.errors import UsageError
from propolis.report import console
from propolis.repository import Identity, Location, Recipient, Repository, read_identities, write_identity

app = typer.Typer(name="repository", help="Make and look after the repository.", no_args_is_help=True)


@app.callback()
def _repository() -> None:
    pass


@app.command("init")
def init(
    recovery_key: Annotated[
        Path | None,
        typer.Option("--recovery-key", help="Make a recovery key and write it to this new file", metavar="FILE"),
    ] = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option("--recipient", help="Or: the public part (age1…) of a key you have; may be repeated"),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make the repository, its recovery key and this host's own key.

    Only the recovery key can read backed up data, and it isn't kept on this host: without it nothing can be restored.
    """
    if (recovery_key is None) == (not recipient):
        raise UsageError(
            "Give --recovery-key FILE to make a new key, or --recipient to use keys you have",
            left="Nothing was made",
        )
    settings = config_of(config)
    host = _host_identity(settings.repository.host_key)
    out = console.console()
    if recovery_key is not None:
        identity = Identity.generate()
        # First the key, on disk: a repository whose only key is lost would swallow backups for ever.
        write_identity(recovery_key, identity)
        try:
            Repository.init(Location.from_config(settings.repository), [identity.recipient], host)
        except BaseException:
            recovery_key.unlink()
            raise
        out.print(f"Made the repository {settings.repository.url}.")
        out.print(
            f"[bold]The recovery key is in {recovery_key}.[/] Move it off this host, print it, keep two copies:"
        )
        out.print("without it nothing can be restored; whoever has it can read every backup.")
        out.print(f"Its public part: {identity.recipient}")
    else:
        recipients = [Recipient(text) for text in recipient or []]
        Repository.init(Location.from_config(settings.repository), recipients, host)
        out.print(f"Made the repository {settings.repository.url}.")


def _host_identity(path: Path) -> Identity:
    """This host's key: reads manifests, so that backups can be incremental, but no data."""
    if path.exists():
        (identity,) = read_identities(path)
        return identity
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = Identity.generate()
    write_identity(path, identity)
    return identity
