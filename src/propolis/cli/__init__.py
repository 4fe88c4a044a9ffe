"""The command line: parse, call, render. The only place that exits."""
# ruff: noqa: E402

from __future__ import annotations

import gc

# Nothing of what is loaded at the start is garbage: looking for some, then or later, takes a tenth of the start.
gc.disable()

import importlib
import os
import sys

import typer
import typer.exceptions

from propolis import __version__
from propolis.cli.arguments import DEBUG, complete
from propolis.errors import PropolisError, UsageError
from propolis.report import streams
from propolis.report.console import show_error

EPILOG = (
    "Exit codes: 0 ok, 1 error, 2 usage, 3 incomplete, 10 configuration, 11 busy, 12 preflight, 13 repository, "
    "14 integrity, 16 services not restarted, 130 interrupted."
)

VERSION = "--version"

VALUE_ERROR = "Value error, "
"""What the library that checks values puts before a message."""

FAMILIES = {
    "setup": ("init", "doctor", "config"),
    "backup": ("backup",),
    "backups": ("list", "show"),
    "contents": ("diff", "extract", "find"),
    "restores": ("restore", "verify"),
    "runs": ("recover", "status", "clean"),
    "hosts": ("host",),
    "agents": ("agent",),
    "repository.retention": ("hold",),
    "repository.repositories": ("repository",),
}
"""The modules of the command line and their commands, as the help shows them."""

ALONE = {("repository", "serve"): "repository.serving"}
"""Commands below others that are loaded alone: a connection waits for this one to start."""


def application(command: str | None = None, below: str | None = None) -> typer.Typer:
    """The whole command line; or of it the family of one command (none for the
    version), which spares loading the others."""
    app = typer.Typer(
        name="propolis",
        help="Back up, restore and prove TheHive: database, index, files and configuration as one restore point.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_main)
    alone = ALONE.get((command or "", below or ""))
    if alone is not None:
        above = typer.Typer(name=command)
        above.callback()(_nothing)
        importlib.import_module(f"propolis.cli.{alone}").register(above)
        app.add_typer(above)
        return app
    chosen = [family for family, commands in FAMILIES.items() if command in commands]
    if not chosen and command != VERSION:
        chosen = list(FAMILIES)
    gc.disable()
    for family in chosen:
        importlib.import_module(f"propolis.cli.{family}").register(app)
    gc.freeze()
    gc.enable()
    return app


def _nothing() -> None:
    pass


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"propolis {__version__}")
        raise typer.Exit


def _main(
    version: bool = typer.Option(False, VERSION, help="Show the version and exit", callback=_show_version),
) -> None:
    """Take the options that stand before a command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code: no traceback, whatever happens."""
    os.umask(0o077)
    streams.make_safe()
    code = run(arguments)
    untold = streams.finish()
    if untold is not None:
        show_error(untold)
    sys.exit(code or (0 if untold is None else untold.exit_code))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app = application(*given[:2])
        code = app(args=complete(given), prog_name="propolis", standalone_mode=False)
    except PropolisError as error:
        show_error(error)
        return error.exit_code
    except typer.exceptions.TyperException as error:
        message = error.format_message().replace(VALUE_ERROR, "")
        if message.startswith("Usage:"):  # a command family named without a command
            typer.echo(message, err=True)
        else:
            context = getattr(error, "ctx", None)
            command = "propolis" if context is None else context.command_path
            show_error(UsageError(message, next=f"See `{command} --help`"))
        return UsageError.exit_code
    except (typer.Abort, KeyboardInterrupt):
        show_error(PropolisError("Interrupted"))
        return 130
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        show_error(
            PropolisError(
                f"Unexpected {type(error).__name__}: {error}",
                next=f"Set {DEBUG}=1 to see where it happened, and please report it",
            )
        )
        return 1
    return code if isinstance(code, int) else 0


gc.freeze()
gc.enable()
