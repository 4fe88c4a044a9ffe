"""Finding the index: `db.janusgraph.index.search` of application.conf, then the server's own file, if it has one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from propolis.config.discovery.finding import Findings, Setting, config_folder, servers, source
from propolis.config.discovery.this_host import (
    ANY_ADDRESS,
    in_url,
    interface_address,
    site_address,
    split_port,
)
from propolis.config.discovery.tls import TlsKeys, is_on, trusted
from propolis.config.environment import of_service, with_host_name
from propolis.config.hocon import Hocon
from propolis.config.load import line_of, plain, read_yaml
from propolis.errors import ConfigError

_SEARCH = "db.janusgraph.index.search"
_DIRECTORY = f"{_SEARCH}.directory"
_BASIC = f"{_SEARCH}.elasticsearch.http.auth.basic"
_SSL = f"{_SEARCH}.elasticsearch.ssl"
_MAKES = ("elasticsearch", "opensearch")
_DEFAULT_PORT = "9200"
_VARIABLE = re.compile(r"\$\{([^}:]+)(?::([^}]*))?\}")
_ANY = (*ANY_ADDRESS, "0", "localhost", "_local_")
THEHIVE_4_FOLDER = "/opt/thp/thehive/index"


def index_values(
    found: Findings, root: Path, hocon: Hocon, version: tuple[int, int] | None, given: Path | None
) -> None:
    """Find the section `index`. Raises ConfigError for what makes going on senseless."""
    setting = f"{_SEARCH}.backend"
    backend = hocon.text(setting)
    note = source(hocon, setting)
    defaults_known = version is not None and (4, 1) <= version < (5, 0)
    if backend is None and defaults_known:
        backend, note = "lucene", f"TheHive 4's default, as {hocon.file} sets no {setting}"
    if backend in ("elasticsearch", "es"):
        if found.runs_here(hocon, f"{_SEARCH}.hostname", "an index"):
            server_values(found, root, hocon, given)
            found.nodes("index.nodes", servers(hocon, f"{_SEARCH}.hostname"), source(hocon, f"{_SEARCH}.hostname"))
    elif backend == "lucene":
        found.put("index.kind", "lucene", note)
        if found.copy("index.folder", hocon, _DIRECTORY) is None:
            if not defaults_known:
                raise ConfigError(
                    f"{note}: the index is Lucene, but {_DIRECTORY} is not set",
                    next="Set it to the folder that TheHive uses",
                )
            found.put("index.folder", THEHIVE_4_FOLDER, f"TheHive 4's default, as {hocon.file} sets no {_DIRECTORY}")
    elif backend is None:
        raise ConfigError(
            f"{hocon.file}: {setting} is not set, so init can't tell which index TheHive uses: TheHive 4 then takes"
            f" Lucene in {THEHIVE_4_FOLDER}, other versions may not",
            next=f"Set it to lucene, with {_DIRECTORY}, or to elasticsearch, whichever TheHive uses",
        )
    else:
        raise ConfigError(f"{note} is {backend}; only elasticsearch (OpenSearch, too) and lucene can be backed up")


class Settings:
    """What the server's file says, by dotted names: `path.data: x` and `path: {data: x}` mean the same."""

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        self.file = file
        self._environment = environment
        self._flat: dict[str, Setting] = {}
        document = read_yaml(file)
        self._read(document, document if document is not None else {}, "", ())

    def get(self, name: str) -> Setting | None:
        """Give a setting with variables filled in. Raises ConfigError for one that its service doesn't have."""
        found = self._flat.get(name)
        if found is None or found.value is None:
            return None
        if isinstance(found.value, list):
            return Setting([self._expand(value, found.note) for value in found.value], found.note)
        return Setting(self._expand(found.value, found.note), found.note)

    def is_on(self, name: str) -> bool | None:
        """Whether it is true; None where it isn't set."""
        found = self.get(name)
        return None if found is None else is_on(found.value)

    def path(self, name: str) -> Setting | None:
        """Give the first path of a setting; a relative one is meant from the file's folder."""
        found = self.get(name)
        if found is None:
            return None
        value = found.value[0] if isinstance(found.value, list) and found.value else found.value
        return Setting(str(self.file.parent / str(value)), found.note)

    def _read(self, document: Any, node: Any, name: str, location: tuple[str, ...]) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                self._read(document, value, f"{name}.{key}" if name else str(key), (*location, key))
        else:
            self._flat[name] = Setting(plain(node), f"{self.file}:{line_of(document, location)} ({name})")

    def _expand(self, value: Any, note: str) -> Any:
        """Fill in `${NAME}` and `${NAME:default}` from the service's environment, as both makes do."""
        if not isinstance(value, str):
            return value

        def replace(match: re.Match[str]) -> str:
            name, default = match.groups()
            if name in self._environment:
                return self._environment[name]
            if default is not None:
                return str(default)
            raise ConfigError(f"{note}: ${{{name}}} is not set in the environment of the index's service")

        return _VARIABLE.sub(replace, value)


def server_values(found: Findings, root: Path, hocon: Hocon | None, given: Path | None) -> None:
    """Find the section `index` of a server on this host; `hocon` is None where TheHive is on another one."""
    file = _file(found, root, given)
    if file is None:
        return
    environment = with_host_name(of_service(root, "index", file.stem))
    settings = Settings(file, environment)
    found.put("index.config", str(file.parent), str(file))
    found.attempt(lambda: data_values(found, settings))
    found.attempt(lambda: _url(found, settings, hocon))
    _nodes(found, settings)
    if hocon is None:
        secured = settings.get("xpack.security.enabled")
        if secured is not None and is_on(secured.value):
            found.asks_for_login("index", secured.note)
        return
    found.copy("index.prefix", hocon, f"{_SEARCH}.index-name")
    found.copy("index.audit", hocon, "audit.elasticsearch.index-name")
    if found.copy("index.username", hocon, f"{_BASIC}.username"):
        found.secret("index.password", hocon, f"{_BASIC}.password")


def _file(found: Findings, root: Path, given: Path | None) -> Path | None:
    """Find the server's file: of one make, or the other."""
    if given is not None:
        return file_in(given)
    places = [(root / "etc" / make, f"{make}.yml") for make in _MAKES]
    present = [(folder, name) for folder, name in places if (folder / name).is_file()]
    if len(present) == 1:
        ((folder, name),) = present
        folder = config_folder(found, "index", None, [folder], name) or folder
        return folder / name
    names = " and ".join(str(folder / name) for folder, name in places)
    found.problem(
        f"{names}: {'both exist' if present else 'neither exists'}; one of them is needed."
        " Name the right folder with --config-folder index=FOLDER"
    )
    return None


def file_in(folder: Path) -> Path:
    """Give a server's file in its configuration folder: of one make, or the other."""
    make = next((make for make in _MAKES if (folder / f"{make}.yml").is_file()), _MAKES[0])
    return folder / f"{make}.yml"


def data_values(found: Findings, settings: Settings, section: str = "index") -> None:
    """Find the folder of a server's data; several, or none, are a problem."""
    setting = settings.get("path.data")
    if setting is None:
        found.problem(
            f"{settings.file}: path.data is not set, so the index uses a folder below its own installation."
            " Set path.data to that folder's absolute path"
        )
        return
    paths = setting.value if isinstance(setting.value, list) else str(setting.value).split(",")
    if len(paths) != 1:
        found.problem(f"{setting.note}: several data folders; only one is supported")
        return
    found.put(f"{section}.data", str(paths[0]), setting.note)


def _nodes(found: Findings, settings: Settings) -> None:
    """Count the nodes that the server's file names: those it looks for, or those that elect the first master."""
    for name in ("discovery.seed_hosts", "cluster.initial_master_nodes", "cluster.initial_cluster_manager_nodes"):
        if (setting := settings.get(name)) is not None:
            values = setting.value if isinstance(setting.value, list) else str(setting.value).split(",")
            found.nodes("index.nodes", [str(value).strip() for value in values if str(value).strip()], setting.note)


def _url(found: Findings, settings: Settings, hocon: Hocon | None) -> None:
    """Find where the index answers HTTP: its own file first, then what TheHive uses."""
    texts = [] if hocon is None else hocon.texts(f"{_SEARCH}.hostname")
    used = [split_port(part) for text in texts for part in text.split(",")]
    host = _host(settings)
    if hocon is not None and host is None and len(used) == 1:
        host = Setting(used[0][0], source(hocon, f"{_SEARCH}.hostname"))
    if host is None:
        found.problem(
            f"{settings.file}: init can't tell the index's address. Set http.host there"
            + ("" if hocon is None else f", or one {_SEARCH}.hostname in {hocon.file}")
        )
        return
    used_port = next((port for _, port in used if port), "")
    if hocon is not None:
        used_port = used_port or hocon.text(f"{_SEARCH}.port") or _DEFAULT_PORT
    port = _port(found, settings, used_port)
    if port is None:
        return
    scheme = "http"
    if _is_secure(settings):
        scheme = "https"
        _authority(found, settings, hocon)
    found.put("index.url", f"{scheme}://{in_url(str(host.value))}:{port}", host.note)


def _port(found: Findings, settings: Settings, used: str) -> str | None:
    """Find the port; TheHive's must be among those of this server, or this is not the server that TheHive uses.

    `used` is TheHive's; empty where that is on another host.
    """
    setting = settings.get("http.port")
    value = setting.value if setting is not None else _DEFAULT_PORT
    text = str(value[0] if isinstance(value, list) and value else value)
    low, _, high = text.partition("-")
    if not low.isdigit() or not (high or low).isdigit():
        raise ConfigError(
            f"{setting.note if setting else settings.file}: {text} is neither a port nor a range of ports"
        )
    wanted = used or low
    if int(low) <= int(wanted) <= int(high or low):
        return wanted
    where = setting.note if setting is not None else f"{settings.file}, which sets no http.port"
    found.problem(
        f"{where}: the server is at port {text}, but TheHive's index is at port {wanted}, so it is not the server"
        " that TheHive uses. Name the right folder with --config-folder index=FOLDER"
    )
    return None


def _is_secure(settings: Settings) -> bool:
    """Whether the index speaks TLS: with its security off, keys of TLS say nothing."""
    if settings.is_on("xpack.security.enabled") is False or settings.is_on("plugins.security.disabled"):
        return False
    names = ("xpack.security.http.ssl.enabled", "plugins.security.ssl.http.enabled")
    return any(settings.is_on(name) for name in names)


def _authority(found: Findings, settings: Settings, hocon: Hocon | None) -> None:
    """Find who signed the index's certificate; without one, the system's authorities count."""
    asks = settings.get("xpack.security.http.ssl.client_authentication")
    if asks is not None and asks.value == "required":
        found.problem(f"{asks.note}: the index requires client certificates, which are not supported yet")
    if hocon is not None and is_on(hocon.text(f"{_SSL}.disable-hostname-verification")):
        found.put("index.verify_host", False, source(hocon, f"{_SSL}.disable-hostname-verification"))
    if (authority := authority_of(settings)) is not None:
        found.put("index.ca", authority.value, authority.note)
        return
    if hocon is None:
        return
    keys = TlsKeys(
        section="index.",
        trust=f"{_SSL}.truststore.location",
        trust_password=(f"{_SSL}.truststore.password", f"{_SSL}.truststore.storepassword"),
        store=f"{_SSL}.keystore.location",
        store_password=f"{_SSL}.keystore.storepassword",
    )
    if hocon.text(keys.trust) is not None:
        trusted(found, hocon, keys, Setting(True, str(settings.file)))


def authority_of(settings: Settings) -> Setting | None:
    """Give the file of who signed a server's certificate, by its own settings; None where they tell none."""
    for name in (
        "xpack.security.http.ssl.certificate_authorities",
        "plugins.security.ssl.http.pemtrustedcas_filepath",
    ):
        if setting := settings.path(name):
            return setting
    package = settings.file.parent / "certs/http_ca.crt"
    return Setting(str(package), "the authority created by Elasticsearch's package") if package.is_file() else None


def _host(settings: Settings) -> Setting | None:
    """Give an address of the HTTP port; None where only the index itself can tell."""
    for name in ("http.bind_host", "http.host", "network.bind_host", "network.host", "http.publish_host"):
        setting = settings.get(name)
        if setting is None:
            continue
        values = setting.value if isinstance(setting.value, list) else str(setting.value).split(",")
        addresses = [address for value in values if (address := _address(str(value).strip()))]
        return Setting(addresses[0], setting.note) if addresses else None
    return Setting("127.0.0.1", "the default address, since neither http.host nor network.host is set")


def _address(value: str) -> str | None:
    """Give the address that a value stands for; None for one that can't be determined from here."""
    if value.partition(":")[0] in _ANY or value in _ANY:
        return "127.0.0.1"
    if not value.startswith("_"):
        return value.removeprefix("[").removesuffix("]") or None
    name = value.strip("_").partition(":")[0].removesuffix("_")
    return site_address() if name == "site" else interface_address(name)
