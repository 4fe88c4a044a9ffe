"""Finding Cortex: TheHive's file names its servers, Cortex's own file tells the rest.

Nothing here stops a stack from being found: a Cortex that can't be followed is left out, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from propolis.config.discovery.finding import Findings, first, source
from propolis.config.discovery.index import Settings, authority_of, data_values, file_in
from propolis.config.discovery.this_host import in_url, is_this_host, reachable
from propolis.config.environment import of_service, with_host_name
from propolis.config.hocon import Hocon, read

_SERVERS = "cortex.servers"
_ADD = "Add it with --config-folder cortex=FOLDER"
_DEFAULT_INDEX = "http://127.0.0.1:9200"
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))


def cortex_values(found: Findings, root: Path, hocon: Hocon, given: Mapping[str, Path]) -> None:
    """Find the section `cortex`, if TheHive names a Cortex of this host, or its folder is `given`."""
    here = _named_here(found, hocon)
    usual = root / "etc/cortex"
    folder = given.get("cortex", usual)
    file = folder / "application.conf"
    if not here and "cortex" not in given:
        if file.is_file():
            found.warn(f"{file}: {hocon.file} does not name this Cortex ({_SERVERS}), so it is not backed up. {_ADD}")
        return
    if not file.is_file():
        found.warn(f"{file}: there is no such file, so Cortex is not backed up. {_ADD}")
        return
    own_values(found, root, given)


def own_values(found: Findings, root: Path, given: Mapping[str, Path]) -> None:
    """Find the section `cortex` in Cortex's own file, which is there."""
    folder = given.get("cortex", root / "etc/cortex")
    file = folder / "application.conf"
    own = read(file, environment=of_service(root, "cortex", "cortex"))
    uri, note = own.text("search.uri") or _DEFAULT_INDEX, source(own, "search.uri")
    if not own.has("search.uri"):
        note = f"Cortex's default, as {file} sets no search.uri"
    here = all(is_this_host(urlsplit(one).hostname or "") for one in uri.split(","))
    if not found.spread and ("," in uri or not here):
        found.warn(f"{note}: Cortex's index {uri} is not one server on this host, so Cortex is not backed up")
        return
    if here and not _is_thehives(found, uri):
        if "cortex-index" not in given:
            found.warn(
                f"{note}: Cortex has an index of its own at {uri}, so Cortex is not backed up."
                " Name its configuration folder with --config-folder cortex-index=FOLDER"
            )
            return
        _index(found, root, own, given["cortex-index"], uri, note)
    found.put("cortex.config", str(folder), str(file))
    found.put("cortex.url", *_url(own))
    found.copy("cortex.prefix", own, "search.index")
    jobs = own.text("job.directory")
    if jobs is not None and Path(jobs) not in _TEMPORARY:
        found.copy("cortex.jobs", own, "job.directory")
    for other in sorted(own.files()):
        found.warn_if_outside(other, folder, str(file))


def _named_here(found: Findings, hocon: Hocon) -> bool:
    """Whether TheHive names a Cortex of this host; others are warned of."""
    here = False
    for server in hocon.sections(_SERVERS):
        url = str(server.get("url", ""))
        if is_this_host(urlsplit(url).hostname or ""):
            here = True
        else:
            found.warn(f"{source(hocon, _SERVERS)}: the Cortex at {url} is not on this host, so it is not backed up")
    return here


def _url(own: Hocon) -> tuple[str, str]:
    """Where Cortex listens, and where that is set: Play's settings, with their short names first."""
    port_key = first(own, "http.port", "play.server.http.port")
    address_key = first(own, "http.address", "play.server.http.address")
    address = reachable(own.text(address_key) if address_key else None)
    context = (own.text("play.http.context") or "").strip("/")
    port = (own.text(port_key) if port_key else None) or "9001"
    note = str(own.origin(port_key)) if port_key else f"Cortex's default port, as {own.file} sets none"
    return f"http://{in_url(address)}:{port}" + (f"/{context}" if context else ""), note


def _is_thehives(found: Findings, uri: str) -> bool:
    """Whether Cortex's index is the server that TheHive uses, too: the same port of this host."""
    thehives = found.values.get("index", {}).get("url")
    return thehives is not None and (urlsplit(thehives).port or 9200) == (urlsplit(uri).port or 9200)


def _index(found: Findings, root: Path, own: Hocon, folder: Path, uri: str, note: str) -> None:
    file = file_in(folder)
    settings = Settings(file, with_host_name(of_service(root, "cortex-index", file.stem)))
    found.put("cortex.index.config", str(folder), str(file))
    data_values(found, settings, "cortex.index")
    found.put("cortex.index.url", uri.rstrip("/"), note)
    if uri.startswith("https:") and (authority := authority_of(settings)) is not None:
        found.put("cortex.index.ca", authority.value, authority.note)
    user = first(own, "search.username", "search.user")
    if user is not None:
        found.copy("cortex.index.username", own, user)
        found.secret("cortex.index.password", own, "search.password")
