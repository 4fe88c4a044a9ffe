"""`init`, `doctor`, `config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propolis.checks import Check, checks
from propolis.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, IdentityFile, config_of, named
from propolis.command.apart import require_apart
from propolis.config import sample
from propolis.config.discovery.stack import SERVICES, discover
from propolis.errors import ConfigError, PreflightError, UsageError
from propolis.hosts.asking import Reach
from propolis.hosts.health import checks_of_all, failed
from propolis.report.checks import show_checks
from propolis.report.console import console, show_warning
from propolis.report.hosts import show_hosts
from propolis.report.json import print_json

config_app = typer.Typer(name="config", help="Show and check the configuration.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command()(init)
    app.command()(doctor)
    app.add_typer(config_app)


def init(
    repository: Annotated[
        str,
        typer.Option(
            "--repository",
            "-r",
            help="Where backups go: a folder, s3://bucket/prefix or ssh://host/folder",
            metavar="URL",
        ),
    ],
    root: Annotated[
        Path, typer.Option("--root", help="Folder that contains the stack's etc/", metavar="FOLDER")
    ] = Path("/"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write [default: ROOT/etc/propolis/propolis.yaml]")
    ] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="S3 endpoint of the repository")] = None,
    access_key_file: Annotated[
        Path | None, typer.Option("--access-key-file", help="File with the repository's S3 access key")
    ] = None,
    secret_key_file: Annotated[
        Path | None, typer.Option("--secret-key-file", help="File with the repository's S3 secret key")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The stack's name [default: this host's]")] = None,
    config_folder: Annotated[
        list[str] | None,
        typer.Option(
            "--config-folder",
            help="Configuration folder of thehive, database or index, e.g. database=/etc/cassandra/conf; repeatable",
            metavar="SERVICE=FOLDER",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", help="This host's name in a stack of several hosts: only what is on it is written"),
    ] = None,
) -> None:
    """Find the stack and write a commented propolis.yaml.

    Reads the stack's own configuration files, and contacts no service.
    """
    section: dict[str, object] = {"url": repository}
    if endpoint is not None:
        section["endpoint"] = endpoint
    for key, file in (("access_key", access_key_file), ("secret_key", secret_key_file)):
        if file is not None:
            section[key] = {"file": str(file.absolute())}
    found = discover(root, repository=section, name=name, folders=_folders(config_folder or []), host=host)
    out = console()
    for warning in found.warnings:
        show_warning(warning)
    if found.config is None:
        raise ConfigError(
            "The stack could not be found:\n" + "\n".join(found.problems),
            left="Nothing was written",
            next="Fix these, or write propolis.yaml by hand: `propolis config sample` shows one",
        )
    require_apart(found.config)
    target = output or root.absolute() / "etc/propolis/propolis.yaml"
    sample.write(target, sample.render(found.config, found.notes))
    out.print(f"Wrote {target}. Please read it; it takes a minute.")
    out.print(f"Next: propolis repository init --config {target} --recovery-key FILE")
    if host is not None:
        out.print(f"Then, for each other host of the stack: propolis host add NAME --ssh HOST --config {target}")
    out.print(f"Then: propolis doctor --config {target}")


def _folders(given: list[str]) -> dict[str, Path]:
    """Read the options that name configuration folders. Raises UsageError for one that can't be meant."""
    found: dict[str, Path] = {}
    for text in given:
        service, _, folder = text.partition("=")
        if service not in SERVICES or not folder:
            raise UsageError(
                f"--config-folder {text} is not SERVICE=FOLDER, where SERVICE is one of {', '.join(SERVICES)}"
            )
        found[service] = Path(folder)
    return found


def doctor(identity: IdentityFile = None, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Check everything that a backup or a restore needs.

    Asks all hosts of the stack. Changes nothing.
    """
    settings = config_of(config)
    found = list(checks(settings, identity, named(config)))
    of_hosts: dict[str, list[Check]] = {}
    if settings.hosts:
        together, of_hosts = checks_of_all(Reach(settings, config))
        found += together
    if as_json:
        print_json({"checks": found, "hosts": of_hosts} if settings.hosts else found)
    else:
        show_checks(found)
        show_hosts(of_hosts)
    wrong = [check for check in found if check.result == "fail"]
    told = (
        [f"{len(wrong)} of {len(found)} checks failed: {', '.join(check.name for check in wrong)}"] if wrong else []
    )
    if told := [*told, *failed(of_hosts)]:
        raise PreflightError("; ".join(told), left="Nothing was changed")


@config_app.command("check")
def config_check(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Check the configuration.

    Each error is reported with its file, line and key.
    """
    config_of(config)
    console().print(f"{config}: no errors")


@config_app.command("show")
def config_show(config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the configuration with all defaults.

    Secrets are references, so none is shown.
    """
    settings = config_of(config)
    if as_json:
        print_json(settings.model_dump(mode="json"))
    else:
        typer.echo(sample.render(settings, {}), nl=False)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of propolis.yaml."""
    typer.echo(sample.json_schema(), nl=False)


@config_app.command("sample")
def config_sample() -> None:
    """Print a commented sample configuration.

    It is for a stack installed as in TheHive's installation guide.
    """
    typer.echo(sample.sample(), nl=False)
