"""`host …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from propolis.checks import Check
from propolis.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, IdentityFile, PlanOnly, config_of
from propolis.config.hosts import HostConfig, PodRef
from propolis.config.schema import Config
from propolis.errors import BusyError, ConfigError, PreflightError, UsageError
from propolis.hosts.asking import Reach, coordinator_state
from propolis.hosts.health import failed, host_checks
from propolis.hosts.setup import Found, add_host, find_host, without_host, write_document
from propolis.report import hosts as report
from propolis.report.json import print_json
from propolis.run.journal import journal_folder
from propolis.run.journals import open_runs

app = typer.Typer(name="host", help="Add, list, check and remove the other hosts of the stack.", no_args_is_help=True)

HostArgument = Annotated[str, typer.Argument(help="What the host is called", metavar="NAME")]


def register(app_of_all: typer.Typer) -> None:
    """Add this family's commands."""
    app_of_all.add_typer(app)


@app.command("add")
def add(
    name: HostArgument,
    ssh: Annotated[
        str | None, typer.Option("--ssh", help="A host as ssh takes it, e.g. db2.example", metavar="HOST")
    ] = None,
    pod: Annotated[
        str | None,
        typer.Option("--pod", help="A container of a pod that has Propolis", metavar="NAMESPACE/POD/CONTAINER"),
    ] = None,
    container: Annotated[
        str | None, typer.Option("--container", help="A Docker container that has Propolis", metavar="NAME")
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Option(
            "--command",
            help="Any other program that runs `propolis agent` there; repeat the option for each argument",
            metavar="ARGUMENT",
        ),
    ] = None,
    identity: IdentityFile = None,
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Add a host to the stack.

    Writes its configuration there and gives its key access to the repository. Propolis must be installed there, in
    the same version. A configuration that is there already is kept. Needs a recovery key (--identity), unless the
    repository knows the host's key already.
    """
    settings = config_of(config)
    host = _host_of(ssh, pod, container, command)
    if plan:
        found = find_host(settings, config, name, host)
        if as_json:
            print_json(found)
        else:
            report.show_found(found)
        return

    def shown(found: Found) -> None:
        if not as_json:
            report.show_found(found)

    added = add_host(settings, config, name, host, identity, shown)
    checks = host_checks(Reach(config_of(config), config), (name,))
    if as_json:
        print_json({"added": added, "hosts": checks})
    else:
        report.show_added(added)
        report.show_hosts(checks)
    _refuse(checks, f"{name} was added")


@app.command("list")
def list_all(config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the hosts and how each is reached.

    Contacts none of them.
    """
    settings = config_of(config)
    if as_json:
        print_json({"host": settings.host, "hosts": {name: list(host.argv) for name, host in settings.hosts.items()}})
    else:
        report.show_list(settings)


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="Check only this host", metavar="NAME")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Check that hosts are ready for a backup.

    Asks each of them what `propolis doctor` asks there. Changes nothing.
    """
    settings = config_of(config)
    names = (_known(settings, config, name),) if name else tuple(settings.hosts)
    if not names:
        raise ConfigError(f"{config} names no other hosts", next="Add one with `propolis host add`")
    checks = host_checks(Reach(settings, config), names)
    if as_json:
        print_json({"hosts": checks})
    else:
        report.show_hosts(checks)
    _refuse(checks, "Nothing was changed")


@app.command("remove")
def remove(name: HostArgument, plan: PlanOnly = False, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Remove a host from the configuration.

    Nothing is removed from the host itself, and its key goes on to open the repository.
    """
    settings = config_of(config)
    _known(settings, config, name)
    if open_runs(journal_folder(coordinator_state(settings))).states:
        raise BusyError(
            "A run on several hosts has not ended", left="Nothing was changed", next="Run `propolis recover` first"
        )
    if not plan:
        others = {other: host for other, host in settings.hosts.items() if other != name}
        write_document(config, without_host(config, name), settings.model_copy(update={"hosts": others}))
    report.show_removed(name, settings, plan=plan)


def _host_of(ssh: str | None, pod: str | None, container: str | None, command: list[str] | None) -> HostConfig:
    """How the options say that a host is reached. Raises UsageError unless exactly one of them does."""
    if [ssh is not None, pod is not None, container is not None, bool(command)].count(True) != 1:
        raise UsageError("Give one of --ssh, --pod, --container and --command")
    try:
        where = None
        if pod is not None:
            if pod.count("/") != 2:
                raise UsageError(f"--pod {pod} is not NAMESPACE/POD/CONTAINER")
            namespace, of, inside = pod.split("/")
            where = PodRef(namespace=namespace, pod=of, container=inside)
        return HostConfig(ssh=ssh, pod=where, container=container, command=tuple(command) if command else None)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False)
        option = next(name for name in ("ssh", "container", "command", "pod") if name in (*first["loc"], "pod"))
        allowed = "letters, digits, . _ -, as its name has them"
        message = (
            allowed if first["type"] == "string_pattern_mismatch" else first["msg"].removeprefix("Value error, ")
        )
        raise UsageError(f"--{option}: {message}") from None


def _known(settings: Config, file: Path, name: str) -> str:
    if name not in settings.hosts:
        known = f"; hosts are {', '.join(settings.hosts)}" if settings.hosts else ""
        raise UsageError(f"{file} names no host {name}{known}")
    return name


def _refuse(checks: dict[str, list[Check]], left: str) -> None:
    """Raise PreflightError naming every host that can't be reached or isn't ready."""
    if wrong := failed(checks):
        raise PreflightError("; ".join(wrong), left=left)
