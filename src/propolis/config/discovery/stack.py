"""Finding a stack from its own configuration files: what `propolis init` writes.

Nothing is asked of a running service, so it works while all are stopped. What can't be found is a problem that
says what is missing and what to do; nothing is guessed that would make a backup incomplete. TheHive's own file comes
first: it says which stores there are and on which hosts, whatever servers else have files here.

Keys of application.conf: StrangeBee's pages on database, file storage and connection settings of TheHive 5, and
TheHive 4's own reference.conf. Keys of cassandra.yaml, elasticsearch.yml and opensearch.yml: their makers' reference.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from propolis.config.discovery.alone import without_thehive
from propolis.config.discovery.cortex import cortex_values
from propolis.config.discovery.database import database_values
from propolis.config.discovery.files import files_values
from propolis.config.discovery.finding import Findings, config_folder, first, source
from propolis.config.discovery.index import index_values
from propolis.config.discovery.minio import minio_values
from propolis.config.discovery.this_host import in_url, reachable
from propolis.config.environment import of_service
from propolis.config.hocon import Hocon, read
from propolis.config.load import key_path
from propolis.config.schema import Config
from propolis.errors import ConfigError

SERVICES = ("thehive", "database", "index", "cortex", "cortex-index", "minio")
"""Whose configuration folders can be named."""

_STORES = tuple(
    f"db.janusgraph.{part}.ssl.{store}.location"
    for part in ("storage.cql", "index.search.elasticsearch")
    for store in ("truststore", "keystore")
)
_JAR = re.compile(r"(?:.*\.)?thehive(?:-core)?-(\d+)\.(\d+)\..*\.jar")


@dataclass(frozen=True)
class Discovery:
    """What was found. `config` is None if, and only if, `problems` has entries: one line each."""

    config: Config | None
    notes: Mapping[str, str]
    """Where each value came from, by its key path, such as `database.host`."""
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """What somebody should know, one line each; also where there are problems."""


def discover(
    root: Path = Path("/"),
    *,
    repository: Mapping[str, Any],
    name: str | None = None,
    state: Path | None = None,
    folders: Mapping[str, Path] | None = None,
    host: str | None = None,
    known: Mapping[str, Any] | None = None,
) -> Discovery:
    """Find the stack whose configuration lies below `root`.

    `repository` holds values of the configuration's section of that name, at least `url`; `host_key` defaults to
    `<root>/etc/propolis/host.key`. `name` defaults to the host's, `state` to `<root>/var/lib/propolis`. `folders`
    names the configuration folders of some `SERVICES`; others are looked for in the usual places. Paths inside the
    found files are taken as they are.

    `host`: what this host is called, one of several of the stack. Then servers on others are left out, and without
    TheHive's file those count that have theirs here; `known` has what TheHive's file would tell, by key path.
    """
    root = root.absolute()
    etc = root / "etc"
    given = {service: folder.absolute() for service, folder in (folders or {}).items()}
    found = Findings(host)
    found.put("name", name or re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname()).strip("-._") or "thehive")
    found.put("state", str(state or root / "var/lib/propolis"))
    for key, value in {"host_key": str(etc / "propolis/host.key"), **repository}.items():
        found.put(f"repository.{key}", value)
    if host is not None:
        found.put("host", host)
    _platform(found, etc)
    if host is not None and not (given.get("thehive", root / "etc/thehive") / "application.conf").is_file():
        without_thehive(found, root, given, known or {})
        return _conclude(found)
    hocon = found.attempt(lambda: _application(found, root, given.get("thehive")))
    if hocon is not None:
        # Without it, nothing tells which stores there are: servers that have files here may be somebody else's.
        version = _version(root)
        found.attempt(lambda: _thehive(found, hocon))
        found.attempt(lambda: files_values(found, hocon))
        found.attempt(lambda: database_values(found, etc, hocon, version, given.get("database")))
        found.attempt(lambda: index_values(found, root, hocon, version, given.get("index")))
        found.attempt(lambda: minio_values(found, root, given.get("minio")))
        found.attempt(lambda: cortex_values(found, root, hocon, given))
        found.attempt(lambda: _outside(found, hocon))
    return _conclude(found)


def _conclude(found: Findings) -> Discovery:
    """Check the values against the schema, unless it's known already that some are missing."""
    config = None
    if not found.problems:
        try:
            config = Config.model_validate(found.values)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                key = key_path(detail["loc"])
                note = found.notes.get(key, "the given value")
                found.problem(f"{note}: {key}: {detail['msg'].removeprefix('Value error, ')}")
    return Discovery(config, found.notes, tuple(found.problems), tuple(found.warnings))


def _platform(found: Findings, etc: Path) -> None:
    services = etc / "services"
    if not services.is_dir():
        found.problem(f"{services}: there is no such folder; it should have one <service>.yaml per program")
        return
    found.put("platform.kind", "process")
    found.put("platform.services", str(services), str(services))


def _application(found: Findings, root: Path, given: Path | None) -> Hocon | None:
    folder = config_folder(found, "thehive", given, [root / "etc/thehive"], "application.conf")
    if folder is None:
        return None
    file = folder / "application.conf"
    found.put("thehive.config", str(folder), str(file))
    return read(file, environment={**os.environ, **of_service(root, "thehive", "thehive")})


def _version(root: Path) -> tuple[int, int] | None:
    """Give TheHive's version, major and minor, as its package's files are named; None where there are none."""
    matches = (_JAR.fullmatch(file.name) for file in (root / "opt/thehive/lib").glob("*.jar"))
    versions = {(int(match[1]), int(match[2])) for match in matches if match}
    return versions.pop() if len(versions) == 1 else None


def _thehive(found: Findings, hocon: Hocon) -> None:
    """Find where TheHive listens: Play's settings, with their short names first as Play has it."""
    file = hocon.file
    port_key = first(hocon, "http.port", "play.server.http.port")
    port = hocon.text(port_key) if port_key else "9000"
    if port == "disabled":
        raise ConfigError(
            f"{hocon.origin(port_key or '')}: TheHive itself serves https, which init doesn't support",
            next="Write propolis.yaml by hand",
        )
    address_key = first(hocon, "http.address", "play.server.http.address")
    address = in_url(reachable(hocon.text(address_key) if address_key else None))
    context = (hocon.text("play.http.context") or "").strip("/")
    note = hocon.origin(port_key) if port_key else f"TheHive's default port, since {file} sets none"
    found.put("thehive.url", f"http://{address}:{port}" + (f"/{context}" if context else ""), str(note))


def _outside(found: Findings, hocon: Hocon) -> None:
    """Name the files that application.conf needs and that lie elsewhere: a backup holds only its own folder."""
    for file in sorted(hocon.files()):
        found.warn_if_outside(file, hocon.file.parent, str(hocon.file))
    for setting in _STORES:
        if location := hocon.text(setting):
            found.warn_if_outside(Path(location), hocon.file.parent, source(hocon, setting))
