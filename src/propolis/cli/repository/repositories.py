"""`repository …`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from propolis.cli.options import DEFAULT_CONFIG, ConfigFile, config_of
from propolis.cli.repository import care, copies, keys, retention, serving
from propolis.command.host_key import host_identity
from propolis.command.known import remember
from propolis.config.schema import Config
from propolis.errors import UsageError
from propolis.report.console import console, escape
from propolis.report.repository.keys import show_private_key
from propolis.repository import Identity, Location, Repository, write_identity
from propolis.repository.crypto.recipients import AnyRecipient, parse_recipient
from propolis.repository.storage import reserve

app = typer.Typer(name="repository", help="Create and maintain the repository.", no_args_is_help=True)


def register(above: typer.Typer) -> None:
    """Add this family's commands, below `repository`."""
    above.add_typer(app)


@app.callback()
def _repository() -> None:
    pass


@app.command("init")
def init(
    recovery_key: Annotated[
        Path | None,
        typer.Option(
            "--recovery-key",
            help="Create a recovery key and write it to this new file",
            metavar="FILE",
            readable=False,
        ),
    ] = None,
    on_paper: Annotated[
        bool,
        typer.Option(
            "--print",
            help="Show a new recovery key once, with a QR code, for printing; alone, it is saved nowhere",
        ),
    ] = False,
    recipient: Annotated[
        list[str] | None,
        typer.Option("--recipient", help="Use an existing key: its public key (age1…, ssh-ed25519 …); repeatable"),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Create the repository, its recovery key and this host's own key.

    Only the recovery key can read the backed up data. Don't keep it on this host, and don't lose it: without it
    nothing can be restored.
    """
    if (recovery_key is not None or on_paper) == bool(recipient):
        raise UsageError(
            "Give --recovery-key FILE or --print to create a new key, or --recipient to use an existing one",
            left="Nothing was created",
        )
    settings = config_of(config)
    host = host_identity(settings.repository.host_key)
    out = console()
    if not recipient:
        identity = Identity.generate()
        # First the key, on disk or paper: a repository whose only key is lost would swallow backups for ever.
        if recovery_key is not None:
            write_identity(recovery_key, identity)
        try:
            if on_paper:
                show_private_key(identity)
            _make(settings, [identity.recipient], host)
        except BaseException:
            if on_paper:
                out.print("[bold]The key above opens nothing: destroy the printout.[/]")
            if recovery_key is not None:
                recovery_key.unlink()
            raise
        out.print(f"Created the repository {settings.repository.url}.")
        if recovery_key is not None:
            out.print(
                f"[bold]The recovery key is in {recovery_key}.[/] Move it off this host, print it, and keep two "
                "copies:"
            )
            out.print("without it nothing can be restored; whoever has it can read every backup.")
            out.print(f"Its public key: {identity.recipient}")
    else:
        recipients = [parse_recipient(text) for text in recipient]
        _make(settings, recipients, host)
        out.print(f"Created the repository {settings.repository.url}.")


def _make(settings: Config, recovery: Sequence[AnyRecipient], host: Identity) -> None:
    """Make the repository, and remember it as the one that belongs there."""
    repository = Repository.init(Location.from_config(settings.repository), recovery, host)
    remember(settings, repository)
    without = reserve.keep(repository.storage)
    if without:
        console().print(f"[yellow]note:[/] {escape(without)}")


app.add_typer(keys.app)
copies.register(app)
retention.register_repository(app)
care.register(app)
serving.register(app)
