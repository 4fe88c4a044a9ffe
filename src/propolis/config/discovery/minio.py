"""Finding MinIO, where it is this host's own: then its folders are backed up rather than the bucket in it.

A server of another make, or one that can't be followed, stays a bucket: it is read through S3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from propolis.config.discovery.finding import Findings
from propolis.config.discovery.this_host import is_this_host
from propolis.config.environment import command_of, of_service

_ELLIPSIS = re.compile(r"\{(\d+)\.\.\.(\d+)\}")
_TAKES_VALUE = ("--address", "--console-address", "--certs-dir", "-S", "--config")


def minio_values(found: Findings, root: Path, given: Path | None) -> None:
    """Find the section `minio`, if the bucket of `files` lies on this host and its server's folders are known."""
    endpoint = found.values.get("files", {}).get("endpoint")
    if endpoint is None or not is_this_host(urlsplit(str(endpoint)).hostname or ""):
        return
    description, package = root / "etc/services/minio.yaml", root / "etc/default/minio"
    environment = of_service(root, "minio", "minio")
    command = command_of(description)
    volumes = _volumes(command, environment)
    if not volumes:
        return
    note = str(description if command else package)
    if not all(volume.startswith("/") for volume in volumes):
        found.warn(
            f"{note}: MinIO's drives {' '.join(volumes)} are not all folders of this host, so it is read through S3"
        )
        return
    found.put("minio.url", str(endpoint), found.notes.get("files.endpoint", ""))
    found.put("minio.data", volumes, note)
    folder = given or root / "etc/minio"
    if folder.is_dir():
        found.put("minio.config", str(folder), str(folder))
    if package.is_file():
        found.put("minio.environment", str(package), str(package))


def _volumes(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """List MinIO's drives: arguments of its command, or else of its environment."""
    arguments = list(command[command.index("server") + 1 :]) if "server" in command else []
    named = []
    while arguments:
        argument = arguments.pop(0)
        if argument in _TAKES_VALUE:
            arguments = arguments[1:]
        elif not argument.startswith("-"):
            named.append(argument)
    if not named:
        named = environment.get("MINIO_VOLUMES", "").split()
    return [folder for one in named for folder in _expanded(one)]


def _expanded(volume: str) -> Iterator[str]:
    """Write out what MinIO itself does: `/disk{1...4}`."""
    match = _ELLIPSIS.search(volume)
    if match is None:
        yield volume
        return
    for number in range(int(match[1]), int(match[2]) + 1):
        yield from _expanded(volume[: match.start()] + str(number).zfill(len(match[1])) + volume[match.end() :])
