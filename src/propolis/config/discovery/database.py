"""Finding the database: `db.janusgraph.storage` of application.conf, then cassandra.yaml, if it is Cassandra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from propolis.config.discovery.finding import Findings, Setting, config_folder, servers, source
from propolis.config.discovery.this_host import interface_address, reachable
from propolis.config.discovery.tls import TlsKeys, is_on, trusted, with_client
from propolis.config.hocon import Hocon
from propolis.config.load import line_of, plain, read_last_wins
from propolis.errors import ConfigError

_STORAGE = "db.janusgraph.storage"
_DEFAULT_PORT = "9042"
THEHIVE_4_FOLDER = "/opt/thp/thehive/database"


def database_values(
    found: Findings, etc: Path, hocon: Hocon, version: tuple[int, int] | None, given: Path | None
) -> None:
    """Find the section `database`. Raises ConfigError for what makes going on senseless."""
    setting = f"{_STORAGE}.backend"
    backend = hocon.text(setting)
    where = f"{hocon.origin(setting)}: {setting} is {backend}"
    if backend == "cql":
        if found.runs_here(hocon, f"{_STORAGE}.hostname", "a database"):
            cassandra_values(found, etc, hocon, given)
            found.nodes(
                "database.nodes", servers(hocon, f"{_STORAGE}.hostname"), source(hocon, f"{_STORAGE}.hostname")
            )
    elif backend == "berkeleyje":
        found.put("database.kind", "berkeleyje", source(hocon, setting))
        directory = f"{_STORAGE}.directory"
        if found.copy("database.folder", hocon, directory) is None:
            if version is None or version[0] != 4:
                raise ConfigError(
                    f"{where}, but {directory} is not set", next="Set it to the folder that TheHive uses"
                )
            found.put(
                "database.folder", THEHIVE_4_FOLDER, f"TheHive 4's default, as {hocon.file} sets no {directory}"
            )
    elif backend is None:
        raise ConfigError(
            f"{hocon.file}: {setting} is not set, so init can't tell where TheHive keeps its data",
            next="Set it to cql (Cassandra) or berkeleyje (Berkeley DB), whichever TheHive uses",
        )
    elif backend == "inmemory":
        raise ConfigError(f"{where}: TheHive keeps its data only in memory, so there is nothing to back up")
    else:
        raise ConfigError(f"{where}; only cql (Cassandra) and berkeleyje can be backed up")


class _Settings:
    """What cassandra.yaml says."""

    def __init__(self, found: Findings, file: Path) -> None:
        self.file = file
        self._document, repeated = read_last_wins(file)
        if not isinstance(self._document, dict):
            raise ConfigError(f"{file}: holds no settings")
        self._plain: dict[str, Any] = plain(self._document)
        for key, line in repeated:
            found.warn(f"{file}:{line}: {key} is set again: the last value counts, as in Cassandra")

    def get(self, *keys: str) -> Any:
        """Give a value; None where it isn't set."""
        value: Any = self._plain
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def text(self, *keys: str) -> str | None:
        """Give a single value; None where it isn't set or empty. Raises ConfigError for anything else."""
        value = self.get(*keys)
        if isinstance(value, dict | list):
            raise ConfigError(f"{self.note(*keys)}: must be a single value")
        return None if value is None or value == "" else str(value)

    def note(self, *keys: str) -> str:
        """Say where it stands."""
        return f"{self.file}:{line_of(self._document, keys)} ({'.'.join(keys)})"


def cassandra_values(found: Findings, etc: Path, hocon: Hocon | None, given: Path | None) -> None:
    """Find the section `database` of a server on this host; `hocon` is None where TheHive is on another one."""
    usual = [etc / "cassandra", etc / "cassandra/conf", etc / "cassandra/default.conf"]
    folder = config_folder(found, "database", given, usual, "cassandra.yaml")
    if folder is None:
        return
    settings = _Settings(found, folder / "cassandra.yaml")
    found.put("database.config", str(folder), str(settings.file))
    name = settings.text("cluster_name")
    default_name = f"Cassandra's default, as {settings.file} sets no cluster_name"
    found.put(
        "database.cluster_name", name or "Test Cluster", settings.note("cluster_name") if name else default_name
    )
    _folders(found, settings)
    _host(found, settings)
    _nodes(found, settings)
    if hocon is not None:
        _client(found, hocon)
    elif "AllowAll" not in (settings.text("authenticator") or "AllowAll"):
        found.asks_for_login("database", settings.note("authenticator"))
    secure = _tls(found, settings, hocon)
    _port(found, settings, hocon, secure=secure)
    for options in ("client_encryption_options", "server_encryption_options"):
        for store in ("keystore", "truststore"):
            location = settings.text(options, store)
            # Cassandra's own sample names files that nobody has made.
            if location and Path(location).is_file():
                found.warn_if_outside(Path(location), folder, settings.note(options, store))


def _folders(found: Findings, settings: _Settings) -> None:
    for key, setting in (
        ("commitlog", "commitlog_directory"),
        ("hints", "hints_directory"),
        ("saved_caches", "saved_caches_directory"),
    ):
        _folder(found, settings, key, setting)
    data = settings.get("data_file_directories")
    if isinstance(data, list) and data:
        # Cassandra 4 can keep its system keyspaces in a folder of their own: without it, no data is readable.
        system = settings.text("local_system_data_file_directory")
        found.put(
            "database.data",
            [*map(str, data), *([system] if system else [])],
            settings.note("data_file_directories"),
        )
    else:
        found.problem(_no_folder(settings.file, "data_file_directories"))
    if settings.get("cdc_enabled") is True:
        _folder(found, settings, "cdc_raw", "cdc_raw_directory")


def _folder(found: Findings, settings: _Settings, key: str, setting: str) -> None:
    if value := settings.text(setting):
        found.put(f"database.{key}", value, settings.note(setting))
    else:
        found.problem(_no_folder(settings.file, setting))


def _no_folder(file: Path, setting: str) -> str:
    return (
        f"{file}: {setting} is not set, so Cassandra uses a folder below its own installation."
        f" Set {setting} to that folder's absolute path"
    )


def _host(found: Findings, settings: _Settings) -> None:
    """Find where Cassandra listens for clients."""
    for kind in ("rpc", "listen"):
        if address := settings.text(f"{kind}_address"):
            here = reachable(address)
            found.put("database.host", here, settings.note(f"{kind}_address"))
            return
        if interface := settings.text(f"{kind}_interface"):
            note = settings.note(f"{kind}_interface")
            own = interface_address(interface)
            if own is None:
                found.problem(f"{note}: there is no interface {interface} with an IPv4 address on this host")
            else:
                found.put("database.host", own, note)
            return
    found.problem(f"{settings.file} sets neither rpc_address nor listen_address: set rpc_address")


def _client(found: Findings, hocon: Hocon) -> None:
    """Find what TheHive needs to open Cassandra: keyspace and login."""
    found.copy("database.keyspace", hocon, f"{_STORAGE}.cql.keyspace")
    if found.copy("database.username", hocon, f"{_STORAGE}.username"):
        found.secret("database.password", hocon, f"{_STORAGE}.password")


def _nodes(found: Findings, settings: _Settings) -> None:
    """Count the seeds: the cluster has that many nodes at least, and often no more."""
    providers = settings.get("seed_provider")
    first_one = providers[0] if isinstance(providers, list) and providers else {}
    parameters = first_one.get("parameters") if isinstance(first_one, Mapping) else None
    texts = [one.get("seeds") for one in parameters or [] if isinstance(one, Mapping)]
    seeds = [seed.strip() for text in texts if isinstance(text, str) for seed in text.split(",") if seed.strip()]
    found.nodes("database.nodes", seeds, settings.note("seed_provider"))


def _port(found: Findings, settings: _Settings, hocon: Hocon | None, *, secure: bool) -> None:
    """Find the port; TheHive's must be among those of this server, or this is not the server that TheHive uses."""
    plain_port = settings.get("native_transport_port")
    tls_port = settings.get("native_transport_port_ssl")
    keys = ["native_transport_port"]
    if tls_port is not None:
        keys.insert(0 if secure else 1, "native_transport_port_ssl")
    offered = {
        "native_transport_port": str(plain_port if plain_port is not None else _DEFAULT_PORT),
        "native_transport_port_ssl": str(tls_port),
    }
    used = offered[keys[0]] if hocon is None else hocon.text(f"{_STORAGE}.port") or _DEFAULT_PORT
    if hocon is not None and used not in [offered[key] for key in keys]:
        where = hocon.origin(f"{_STORAGE}.port") or f"{hocon.file}, which sets no {_STORAGE}.port"
        found.problem(
            f"{where}: TheHive's database is at port {used}, but {settings.file} belongs to a server at port"
            f" {offered[keys[0]]}. Name the right folder with --config-folder database=FOLDER"
        )
        return
    key = next((key for key in keys if offered[key] == used), keys[0])
    if settings.get(key) is not None:
        found.put("database.port", settings.get(key), settings.note(key))


def _tls(found: Findings, settings: _Settings, hocon: Hocon | None) -> bool:
    """Find how to speak TLS, if Cassandra asks for it or TheHive uses it. Says whether it is spoken."""
    ssl = f"{_STORAGE}.cql.ssl"
    options = "client_encryption_options"
    used = hocon is not None and is_on(hocon.text(f"{ssl}.enabled"))
    offered = is_on(settings.get(options, "enabled"))
    if not offered or (is_on(settings.get(options, "optional")) and not used):
        return False
    if not used and settings.get("native_transport_port_ssl") is not None:
        return False  # the other port is plain
    asked = Setting(True, settings.note(options, "enabled"))
    if hocon is None:
        found.warn(f"{asked.note}: Cassandra requires TLS. Add database.tls to propolis.yaml: whom to trust (ca)")
        return True
    keys = TlsKeys(
        section="database.tls.",
        trust=f"{ssl}.truststore.location",
        trust_password=(f"{ssl}.truststore.password", f"{ssl}.truststore.storepassword"),
        store=f"{ssl}.keystore.location",
        store_password=f"{ssl}.keystore.storepassword",
    )
    if trusted(found, hocon, keys, asked):
        validation = f"{ssl}.hostname-validation"
        note = (
            source(hocon, validation)
            if hocon.has(validation)
            else "as TheHive does, which isn't configured to verify it"
        )
        found.put("database.tls.verify_host", is_on(hocon.text(validation)), note)
    if is_on(settings.get(options, "require_client_auth")):
        with_client(found, hocon, keys, Setting(True, settings.note(options, "require_client_auth")))
    return True
