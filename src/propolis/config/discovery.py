"""Finding a stack from its own configuration files: what `propolis init` writes.

Nothing is asked of a running service, so it works while all are stopped. What can't be found is a problem that
says what is missing and what to do; nothing is guessed that would make a backup incomplete.

Keys of application.conf: StrangeBee's pages on database, file storage and connection settings of TheHive 5.
Keys of cassandra.yaml, elasticsearch.yml and opensearch.yml: their makers' reference.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from propolis.config.discovery_index import index_values
from propolis.config.finding import Findings
from propolis.config.hocon import Hocon, read
from propolis.config.load import key_path, line_of, plain, read_yaml
from propolis.config.schema import Config
from propolis.errors import ConfigError

_STORAGE = "db.janusgraph.storage"
_S3_ACCESS_KEYS: tuple[str, ...] = ("accessKey", "access-key", "aws.credentials.access-key-id")
_S3_SECRET_KEYS: tuple[str, ...] = ("aws.credentials.secret-access-key", "secretKey", "secret-key")


_S3_SETTINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("bucket", ("bucket",)),
    ("endpoint", ("endpoint", "endpoint-url")),
    ("region", ("aws.region.default-region", "region")),
    ("prefix", ("folder",)),
)


@dataclass(frozen=True)
class Discovery:
    """What was found. `config` is None if, and only if, `problems` has entries: one line each."""

    config: Config | None
    notes: Mapping[str, str]
    """Where each value came from, by its key path, such as `database.host`."""
    problems: tuple[str, ...]


def discover(
    root: Path = Path("/"),
    *,
    repository: Mapping[str, Any],
    name: str | None = None,
    state: Path | None = None,
) -> Discovery:
    """Find the stack whose configuration lies below `root`.

    `repository` holds values of the configuration's section of that name, at least `url`; `host_key` defaults to
    `<root>/etc/propolis/host.key`. `name` defaults to the host's, `state` to `<root>/var/lib/propolis`. Paths
    inside the found files are taken as they are.
    """
    root = root.absolute()
    etc = root / "etc"
    found = Findings()
    found.put("name", name or re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname()).strip("-._") or "thehive")
    found.put("state", str(state or root / "var/lib/propolis"))
    for key, value in {"host_key": str(etc / "propolis/host.key"), **repository}.items():
        found.put(f"repository.{key}", value)
    _platform(found, etc)
    hocon = found.attempt(lambda: _application(found, etc))
    if hocon is not None:
        found.attempt(lambda: _thehive(found, hocon))
        found.attempt(lambda: _files(found, hocon))
    found.attempt(lambda: _database(found, etc, hocon))
    found.attempt(lambda: index_values(found, etc, hocon, _environment(etc, "index")))
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
                source = found.notes.get(key, "the given value")
                found.problem(f"{source}: {key}: {detail['msg'].removeprefix('Value error, ')}")
    return Discovery(config, found.notes, tuple(found.problems))


def _platform(found: Findings, etc: Path) -> None:
    services = etc / "services"
    if not services.is_dir():
        found.problem(f"{services}: no such folder, where one <service>.yaml a program should be")
        return
    found.put("platform.kind", "process")
    found.put("platform.services", str(services), str(services))


def _environment(etc: Path, service: str) -> dict[str, str]:
    """Give the environment in which a service runs: its files may refer to it."""
    file = etc / "services" / f"{service}.yaml"
    if not file.is_file():
        return {}
    document = read_yaml(file)
    environment = document.get("environment") if isinstance(document, dict) else None
    return {str(k): str(v) for k, v in environment.items()} if isinstance(environment, dict) else {}


def _application(found: Findings, etc: Path) -> Hocon:
    folder = etc / "thehive"
    file = folder / "application.conf"
    found.put("thehive.config", str(folder), str(file))
    return read(file, environment={**os.environ, **_environment(etc, "thehive")})


def _thehive(found: Findings, hocon: Hocon) -> None:
    """Find where TheHive listens: Play's settings, with their short names first as Play has it."""
    file = hocon.file
    port_key = _first(hocon, "http.port", "play.server.http.port")
    port = hocon.text(port_key) if port_key else "9000"
    if port == "disabled":
        raise ConfigError(
            f"{hocon.origin(port_key or '')}: TheHive serves https itself, which init can't follow",
            next="Write propolis.yaml by hand",
        )
    address_key = _first(hocon, "http.address", "play.server.http.address")
    address = reachable(hocon.text(address_key) if address_key else None)
    context = (hocon.text("play.http.context") or "").strip("/")
    source = hocon.origin(port_key) if port_key else f"TheHive's default port, as {file} sets none"
    found.put("thehive.url", f"http://{address}:{port}" + (f"/{context}" if context else ""), str(source))


def _database(found: Findings, etc: Path, hocon: Hocon | None) -> None:
    folder = etc / "cassandra"
    file = folder / "cassandra.yaml"
    document = read_yaml(file)
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: holds no settings")
    settings = plain(document)

    def note(key: str) -> str:
        return f"{file}:{line_of(document, (key,))} ({key})"

    found.put("database.config", str(folder), str(file))
    name = settings.get("cluster_name")
    default_name = f"Cassandra's default, as {file} sets no cluster_name"
    found.put("database.cluster_name", str(name or "Test Cluster"), note("cluster_name") if name else default_name)
    for key, setting in (
        ("commitlog", "commitlog_directory"),
        ("hints", "hints_directory"),
        ("saved_caches", "saved_caches_directory"),
    ):
        if settings.get(setting):
            found.put(f"database.{key}", str(settings[setting]), note(setting))
        else:
            found.problem(_no_folder(file, setting))
    data = settings.get("data_file_directories")
    if isinstance(data, list) and data:
        # Cassandra 4 can keep its system keyspaces in a folder of their own: without it, no data is readable.
        system = settings.get("local_system_data_file_directory")
        found.put(
            "database.data",
            [*map(str, data), *([str(system)] if system else [])],
            note("data_file_directories"),
        )
    else:
        found.problem(_no_folder(file, "data_file_directories"))
    if settings.get("cdc_enabled") is True:
        if settings.get("cdc_raw_directory"):
            found.put("database.cdc_raw", str(settings["cdc_raw_directory"]), note("cdc_raw_directory"))
        else:
            found.problem(_no_folder(file, "cdc_raw_directory"))
    if "native_transport_port" in settings:
        found.put("database.port", settings["native_transport_port"], note("native_transport_port"))
    _database_host(found, settings, hocon, note)
    if hocon is not None:
        _database_client(found, hocon)


def _no_folder(file: Path, setting: str) -> str:
    return (
        f"{file}: {setting} is not set, so Cassandra uses a folder below its own installation."
        f" Set {setting} to that folder's absolute path"
    )


def _database_host(
    found: Findings, settings: Mapping[str, Any], hocon: Hocon | None, note: Callable[[str], str]
) -> None:
    for key in ("rpc_address", "listen_address"):
        if settings.get(key):
            found.put("database.host", reachable(str(settings[key])), note(key))
            return
    key = f"{_STORAGE}.hostname"
    hosts = hocon.texts(key) if hocon is not None else ()
    if len(hosts) == 1:
        found.put("database.host", hosts[0], f"{hocon.origin(key) if hocon else ''} ({key})")
    else:
        found.problem("cassandra.yaml sets neither rpc_address nor listen_address: set rpc_address")


def _database_client(found: Findings, hocon: Hocon) -> None:
    """Find what TheHive needs to open Cassandra: keyspace and login."""
    keyspace = f"{_STORAGE}.cql.keyspace"
    if value := hocon.text(keyspace):
        found.put("database.keyspace", value, f"{hocon.origin(keyspace)} ({keyspace})")
    username = f"{_STORAGE}.username"
    if value := hocon.text(username):
        found.put("database.username", value, f"{hocon.origin(username)} ({username})")
        found.secret("database.password", hocon, f"{_STORAGE}.password")


def _files(found: Findings, hocon: Hocon) -> None:
    file = hocon.file
    provider = hocon.text("storage.provider")
    source = hocon.origin("storage.provider")
    if provider == "localfs":
        location = hocon.text("storage.localfs.location")
        if location is None:
            raise ConfigError(f"{source}: storage.provider is localfs, but storage.localfs.location is not set")
        found.put("files.kind", "folder", f"{source} (storage.provider)")
        found.put("files.folder", location, f"{hocon.origin('storage.localfs.location')} (storage.localfs.location)")
    elif provider == "s3":
        found.put("files.kind", "s3", f"{source} (storage.provider)")
        _bucket(found, hocon)
    elif provider is None:
        raise ConfigError(f"{file}: storage.provider is not set, so it can't be told where attachments are")
    else:
        raise ConfigError(f"{source}: storage.provider must be localfs or s3; others can't be backed up yet")


def _bucket(found: Findings, hocon: Hocon) -> None:
    for key, names in _S3_SETTINGS:
        setting = _first(hocon, *(f"storage.s3.{name}" for name in names))
        if setting is not None:
            found.put(f"files.{key}", hocon.text(setting), f"{hocon.origin(setting)} ({setting})")
        elif key == "bucket":
            found.problem(f"{hocon.file}: storage.provider is s3, but storage.s3.bucket is not set")
    for key, names in (("access_key", _S3_ACCESS_KEYS), ("secret_key", _S3_SECRET_KEYS)):
        setting = _first(hocon, *(f"storage.s3.{name}" for name in names))
        if setting is not None:
            found.secret(f"files.{key}", hocon, setting)
        else:
            found.problem(
                f"{hocon.file}: storage.s3 has no {' or '.join(names)}; keys that AWS hands to the host"
                " can't be used yet"
            )


def _first(hocon: Hocon, *keys: str) -> str | None:
    """Give the first of these keys that is set to a value."""
    return next((key for key in keys if hocon.text(key) is not None), None)


def reachable(address: str | None) -> str:
    """Give the address at which a service on this host that listens on `address` can be reached."""
    if address in (None, "", "0.0.0.0", "::", "0:0:0:0:0:0:0:0"):  # noqa: S104 - read, not bound to
        return "127.0.0.1"
    return str(address)
