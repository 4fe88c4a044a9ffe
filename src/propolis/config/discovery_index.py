"""Finding the index: elasticsearch.yml or opensearch.yml, and what TheHive knows of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propolis.config.finding import Findings
from propolis.config.hocon import Hocon
from propolis.config.load import line_of, plain, read_yaml
from propolis.errors import ConfigError

_SEARCH = "db.janusgraph.index.search"
_BASIC = f"{_SEARCH}.elasticsearch.http.auth.basic"
_MAKES = ("elasticsearch", "opensearch")
_VARIABLE = re.compile(r"\$\{([^}:]+)(?::([^}]*))?\}")


@dataclass(frozen=True)
class _Setting:
    value: Any
    note: str


def index_values(found: Findings, etc: Path, hocon: Hocon | None, environment: Mapping[str, str]) -> None:
    """Find the section `index`. Raises ConfigError for what makes going on senseless."""
    files = [file for make in _MAKES if (file := etc / make / f"{make}.yml").is_file()]
    if len(files) != 1:
        names = " and ".join(str(etc / make / f"{make}.yml") for make in _MAKES)
        raise ConfigError(f"{names}: {'both exist' if files else 'neither exists'}; one of them is needed")
    file = files[0]
    settings = _settings(file, environment)
    found.put("index.config", str(file.parent), str(file))
    _data(found, file, settings)
    _url(found, settings, hocon)
    if hocon is None:
        return
    if value := hocon.text(f"{_SEARCH}.index-name"):
        found.put("index.prefix", value, f"{hocon.origin(f'{_SEARCH}.index-name')} ({_SEARCH}.index-name)")
    if value := hocon.text(f"{_BASIC}.username"):
        found.put("index.username", value, f"{hocon.origin(f'{_BASIC}.username')} ({_BASIC}.username)")
        found.secret("index.password", hocon, f"{_BASIC}.password")


def _settings(file: Path, environment: Mapping[str, str]) -> dict[str, _Setting]:
    """Read all settings by their dotted names: `path.data: x` and `path: {data: x}` mean the same."""
    document = read_yaml(file)
    flat: dict[str, _Setting] = {}

    def walk(node: Any, name: str, location: tuple[str, ...]) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                walk(value, f"{name}.{key}" if name else str(key), (*location, key))
        else:
            value = [_expand(v, environment) for v in node] if isinstance(node, list) else _expand(node, environment)
            flat[name] = _Setting(value, f"{file}:{line_of(document, location)} ({name})")

    walk(document if document is not None else {}, "", ())
    return {name: _Setting(plain(setting.value), setting.note) for name, setting in flat.items()}


def _expand(value: Any, environment: Mapping[str, str]) -> Any:
    """Fill in `${NAME}` and `${NAME:default}` from the service's environment, as both makes do."""
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name in environment:
            return environment[name]
        if default is not None:
            return default
        raise ConfigError(f"The index's configuration refers to ${{{name}}}, which its service's environment lacks")

    return _VARIABLE.sub(replace, value)


def _data(found: Findings, file: Path, settings: Mapping[str, _Setting]) -> None:
    setting = settings.get("path.data")
    if setting is None:
        found.problem(
            f"{file}: path.data is not set, so the index uses a folder below its own installation."
            " Set path.data to that folder's absolute path"
        )
        return
    paths = setting.value if isinstance(setting.value, list) else str(setting.value).split(",")
    if len(paths) != 1:
        found.problem(f"{setting.note}: several data folders; only one is supported")
        return
    found.put("index.data", str(paths[0]), setting.note)


def _url(found: Findings, settings: Mapping[str, _Setting], hocon: Hocon | None) -> None:
    """Find where the index answers HTTP: its own file first, then what TheHive uses."""
    scheme = "http"
    tls = settings.get("xpack.security.http.ssl.enabled") or settings.get("plugins.security.ssl.http.enabled")
    if tls is not None and str(tls.value).lower() == "true":
        scheme = "https"
        if authority := _authority(settings):
            found.put("index.ca", str(authority.value), authority.note)
    host = _host(settings)
    used = hocon.texts(f"{_SEARCH}.hostname") if hocon is not None else ()
    used_note = f"{hocon.origin(f'{_SEARCH}.hostname') if hocon else ''} ({_SEARCH}.hostname)"
    used_host, _, used_port = used[0].partition(":") if len(used) == 1 else ("", "", "")
    if host is None:
        if not used_host:
            found.problem(f"The index's address can't be told: set http.host, or one {_SEARCH}.hostname")
            return
        host = _Setting(used_host, used_note)
    port = settings.get("http.port")
    number = str(port.value) if port is not None else ""
    if not number.isdigit():  # not set, or a range of which the index took the first free one
        configured = hocon.text(f"{_SEARCH}.port") if hocon is not None else None
        number = used_port or configured or number.partition("-")[0] or "9200"
    found.put("index.url", f"{scheme}://{host.value}:{number}", host.note)


def _authority(settings: Mapping[str, _Setting]) -> _Setting | None:
    for name in (
        "xpack.security.http.ssl.certificate_authorities",
        "plugins.security.ssl.http.pemtrustedcas_filepath",
    ):
        setting = settings.get(name)
        if setting is None:
            continue
        value = setting.value[0] if isinstance(setting.value, list) and setting.value else setting.value
        if isinstance(value, str) and value.startswith("/"):
            return _Setting(value, setting.note)
    return None


def _host(settings: Mapping[str, _Setting]) -> _Setting | None:
    """Give the address of the HTTP port; None where only the index itself can tell."""
    for name in ("http.publish_host", "http.host", "http.bind_host", "network.host"):
        setting = settings.get(name)
        if setting is None:
            continue
        values = setting.value if isinstance(setting.value, list) else [setting.value]
        first = str(values[0]) if values else ""
        if first in ("_local_", "0.0.0.0", "::", "localhost"):  # noqa: S104 - read, not bound to
            return _Setting("127.0.0.1", setting.note)
        if first and not first.startswith("_"):
            return _Setting(f"[{first}]" if ":" in first else first, setting.note)
        return None
    return _Setting("127.0.0.1", "the default address, as neither http.host nor network.host is set")
