"""The environment in which a service runs: its configuration may refer to it."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

from propolis.config.load import read_yaml

_UNITS = ("usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system")
"""Where unit files lie, the last wins."""


def of_service(root: Path, service: str, unit: str) -> dict[str, str]:
    """Give the environment of `service`, whose systemd unit is named `unit`, of the stack below `root`.

    Its own description (`etc/services/<service>.yaml`) tells all of it. Without one it is that of the unit: the files
    that packages leave for it (`etc/default`, `etc/sysconfig`), and what its unit files set.
    """
    own = described(root / "etc/services" / f"{service}.yaml")
    if own is not None:
        return own
    found: dict[str, str] = {}
    for folder in ("default", "sysconfig"):
        found |= variables(root / "etc" / folder / unit)
    for directive, value in _directives(root, unit):
        if directive == "Environment":
            found |= dict(_pairs(_split(value)))
        elif directive == "EnvironmentFile":
            found |= variables(root / value.removeprefix("-").lstrip("/"))
    return found


def described(file: Path) -> dict[str, str] | None:
    """Give the environment that a service's own description tells; None where there is no such file."""
    if not file.is_file():
        return None
    document = read_yaml(file)
    environment = document.get("environment") if isinstance(document, dict) else None
    return {str(k): str(v) for k, v in environment.items()} if isinstance(environment, dict) else {}


def command_of(file: Path) -> tuple[str, ...]:
    """Give the command of a service's own description; empty where there is no such file, or it has none."""
    document = read_yaml(file) if file.is_file() else None
    command = document.get("command") if isinstance(document, dict) else None
    return tuple(map(str, command)) if isinstance(command, list) else ()


def with_host_name(environment: dict[str, str]) -> dict[str, str]:
    """Add `HOSTNAME`, which the launchers of Elasticsearch and OpenSearch set themselves."""
    return {"HOSTNAME": socket.gethostname(), **environment}


def _directives(root: Path, unit: str) -> Iterator[tuple[str, str]]:
    """List what the unit's files say, drop-ins last."""
    folders = [root / name for name in _UNITS]
    whole = [folder / f"{unit}.service" for folder in folders]
    files = [file for file in whole if file.is_file()][-1:]
    for folder in folders:
        files += sorted((folder / f"{unit}.service.d").glob("*.conf"))
    for file in files:
        for line in _lines(file):
            name, separator, value = line.partition("=")
            if separator:
                yield name.strip(), value.strip()


def variables(file: Path) -> dict[str, str]:
    """Give the variables that a file sets, as systemd and shells read it; none where it can't be read."""
    return dict(_pairs(word for line in _lines(file) for word in _split(line.removeprefix("export "))))


def _lines(file: Path) -> list[str]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return []
    return [line for line in lines if line and not line.startswith(("#", ";"))]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an open quote
        return []


def _pairs(words: Iterator[str] | list[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, separator, value = word.partition("=")
        if separator and name.isidentifier():
            yield name, value
